"""What was deleted in MLflow is deleted for good in a cluster, and old traces are archived, in a container of one more server beside akko's."""
from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from playbook import Run, another, play, roles_playbook

pytestmark = [pytest.mark.akko, pytest.mark.alters, pytest.mark.long]
NAMESPACE, NAME = "cleaned", "tidy"
SERVER = f"app.kubernetes.io/name={NAME},app.kubernetes.io/component=server"
VARIABLES: dict[str, Any] = {
    **another(NAMESPACE, NAME), "mlflow_server_ingress_auth": "none",
}
#: Two runs with an artifact each, one of them deleted; a version points at a third, which is deleted too. It prints the runs.
HISTORY = """
import json, mlflow, pathlib, tempfile
mlflow.set_tracking_uri("http://127.0.0.1:5000")
client = mlflow.MlflowClient()
experiment = client.create_experiment("cleaned")
path = pathlib.Path(tempfile.mkdtemp()) / "large.bin"
path.write_bytes(b"x" * 100000)
runs = []
for name in ("kept", "deleted", "registered"):
    runs.append(client.create_run(experiment, run_name=name).info.run_id)
    client.log_artifact(runs[-1], str(path))
client.create_registered_model("model")
client.create_model_version("model", f"runs:/{runs[2]}/large.bin", runs[2])
client.delete_run(runs[1])
client.delete_run(runs[2])
print(json.dumps(runs))
"""
#: A trace of two experiments each that began 40 days ago. It prints their identifiers.
TRACES = """
import json, mlflow, time
mlflow.set_tracking_uri("http://127.0.0.1:5000")
client, made, began = mlflow.MlflowClient(), [], time.time_ns() - 40 * 86400 * 10**9
for name in ("chat", "kept"):
    experiment = client.get_experiment_by_name(name)
    id_ = experiment.experiment_id if experiment else client.create_experiment(name)
    root = client.start_trace("chat", experiment_id=id_, inputs={"question": name}, start_time_ns=began)
    client.end_trace(root.trace_id, outputs={"answer": "42"}, end_time_ns=began + 10**6)
    made.append(root.trace_id)
mlflow.flush_trace_async_logging(terminate=True)
print(json.dumps(made))
"""
#: What the server says of the spans of traces, each with its question.
READ = """
import json, mlflow, sys
mlflow.set_tracking_uri("http://127.0.0.1:5000")
print(json.dumps([mlflow.MlflowClient().get_trace(trace).data.spans[0].inputs["question"] for trace in sys.argv[1:]]))
"""
ARCHIVE = {
    "mlflow_maintenance_traces_archived_after": "30d", "mlflow_maintenance_archive_schedule": "0 4 * * *",
    "mlflow_maintenance_experiments": [{"name": "kept", "traces_archived_after": "never"}],
}  # fmt: skip


@dataclass
class Tidy:
    """The server: its cluster, as ``kubectl`` in its namespace has it."""

    cluster: Cluster
    folder: Path
    runs: list[str]

    def clean(self, *words: str, **variables: Any) -> tuple[Run, dict[str, Any]]:
        """Run the playbook; its report."""
        file = self.folder / "report.json"
        file.unlink(missing_ok=True)
        given = {"mlflow_maintenance_deleted_for": "0d", "mlflow_maintenance_report": str(file)}
        run = play("mlops.mlflow.maintenance", {**VARIABLES, **given, **variables}, words=words)
        return run, json.loads(file.read_text()) if file.exists() else {}

    def rows(self) -> set[str]:
        """The runs that the database has."""
        query = "SELECT run_uuid FROM runs"
        return {*self.cluster.kubectl("exec", "sts/database", "--", "psql", "-U", "postgres", "-d", "mlflow", "-tAc", query).split()}

    def python(self, program: str, *words: str) -> Any:
        """What a program prints in a container of the server."""
        made = self.cluster.kubectl("exec", f"deploy/{NAME}", "-c", "mlflow", "--", "python", "-c", program, *words, timeout=300)
        return json.loads(made.splitlines()[-1])

    def archived(self) -> dict[str, str]:
        """Where the traces are that are archived."""
        query = "SELECT request_id, value FROM trace_tags WHERE key = 'mlflow.trace.archiveLocation'"
        found = self.cluster.kubectl("exec", "sts/database", "--", "psql", "-U", "postgres", "-d", "mlflow", "-tAF,", "-c", query).split()
        return dict(line.split(",", 1) for line in found)

    def objects(self) -> set[str]:
        """The kinds of the objects of the archive's schedule."""
        kinds = ("cronjobs", "configmaps", "serviceaccounts", "networkpolicies")
        return {kind for kind in kinds if f"{NAME}-archive" in [each["metadata"]["name"] for each in self.cluster.get(kind)]}

    def restarts(self) -> list[int]:
        """How often the server's containers were started anew."""
        pods = self.cluster.get("pods", "", "--selector", SERVER)
        return [state["restartCount"] for pod in pods for state in pod["status"]["containerStatuses"]]


@pytest.fixture(scope="module")
def tidy(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tidy]:
    """A server with a history, which is removed with its namespace."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    apart = copy.copy(cluster)
    apart.namespace = NAMESPACE
    folder = tmp_path_factory.mktemp("maintenance")
    try:
        run = play(roles_playbook(folder, ["postgresql", "artifact_store", "mlflow_server"]), {**VARIABLES, "mlflow_server_image": image})
        assert run.status == 0, run.output
        made = apart.kubectl("exec", f"deploy/{NAME}", "--", "python", "-c", HISTORY, timeout=300)
        yield Tidy(apart, folder, json.loads(made.splitlines()[-1]))
    finally:
        cluster.delete_namespace(NAMESPACE)


def test_check_mode_says_what_a_run_deletes(tidy: Tidy) -> None:
    """It writes nothing; then the run deletes that very run with its artifact, and keeps what a version points at; the next one does nothing."""
    kept, deleted, registered = tidy.runs
    predicted, plan = tidy.clean("--check")
    assert (predicted.status, predicted.changed) == (0, 1), predicted.output
    assert tidy.rows() == {kept, deleted, registered}
    happened, report = tidy.clean()
    assert (happened.status, happened.changed) == (0, 1), happened.output
    assert report["removed"] == plan["removed"]
    assert [(each["kind"], each["id"], each["files"], each["bytes"]) for each in report["removed"]] == [("run", deleted, 1, 100000)]
    assert [each["id"] for each in report["kept"]] == [registered]
    assert tidy.rows() == {kept, registered}
    again, _report = tidy.clean()
    assert (again.status, again.changed) == (0, 0), again.output
    assert tidy.restarts() == [0]


def test_old_traces_are_archived_now_and_by_a_schedule(tidy: Tidy) -> None:
    """By the playbook, as check mode says, then by the CronJob; the server reads them as before. Without a schedule, its objects go."""
    old, kept = tidy.python(TRACES)
    predicted, plan = tidy.clean("--check", **ARCHIVE)
    assert predicted.status == 0, predicted.output
    assert (tidy.archived(), tidy.objects()) == ({}, set())
    happened, report = tidy.clean(**ARCHIVE)
    assert (happened.status, happened.changed) == (0, predicted.changed), happened.output
    assert report["archived"] == plan["archived"]
    assert [each["count"] for each in report["archived"]["traces"]] == [1]
    assert tidy.objects() == {"cronjobs", "configmaps", "serviceaccounts", "networkpolicies"}
    assert tidy.archived().keys() == {old}
    assert tidy.archived()[old].endswith(f"/traces/{old}/artifacts")
    assert tidy.python(READ, old, kept) == ["chat", "kept"]
    again, _report = tidy.clean(**ARCHIVE)
    assert (again.status, again.changed) == (0, 0), again.output

    later, spared = tidy.python(TRACES)
    tidy.cluster.kubectl("create", "job", "--from", f"cronjob/{NAME}-archive", "archive-now")
    tidy.cluster.kubectl("wait", "--for=condition=complete", "job/archive-now", "--timeout=180s", timeout=200)
    assert tidy.cluster.kubectl("logs", "job/archive-now").startswith("Archived: 1 traces")
    assert tidy.archived().keys() == {old, later}
    assert tidy.python(READ, old, later, kept, spared) == ["chat", "chat", "kept", "kept"]
    assert tidy.restarts() == [0]

    gone, _report = tidy.clean(mlflow_maintenance_traces_archived_after="30d")
    assert gone.status == 0, gone.output
    assert tidy.objects() == set()


def test_without_a_pod_of_mlflow_it_says_so(tidy: Tidy) -> None:
    tidy.cluster.kubectl("scale", f"deployment/{NAME}", "--replicas=0")
    tidy.cluster.kubectl("wait", "--for=delete", "pod", "--selector", SERVER, "--timeout=90s")
    run, _report = tidy.clean()
    assert run.status != 0
    assert run.failures[-1][1].startswith(f"kubernetes_namespace: '{NAMESPACE}' has no pod of MLflow that is ready")
