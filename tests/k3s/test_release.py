"""A deployment of the last release becomes one of this checkout: only what the changelog names changes, nothing restarts for it, nothing is lost.

The last release is what MLFLOW_TEST_RELEASE names, the newest tag before this commit, or, while there is none, what was landed fifty commits ago.
"""
from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster
from playbook import Run, play

pytestmark = pytest.mark.line("(beyond) a new release of the collection over a deployment of the last one")
ROOT = Path(__file__).resolve().parents[2]
NAMESPACE, CONTENT = "released", b"what the last release was given\n" * 1000
VARIABLES = {
    "kubernetes_namespace": NAMESPACE, "postgresql_name": "released-postgresql", "artifact_store_name": "released-store",
    "mlflow_server_name": "released", "mlflow_server_app": "released", "mlflow_server_host": "released.akko.local",
}
#: What people and this collection declare. What the cluster makes of it, such as pods, follows.
KINDS = (
    "configmap,cronjob,deployment,horizontalpodautoscaler,ingress,middleware,networkpolicy,persistentvolumeclaim,poddisruptionbudget,role,"
    "rolebinding,secret,service,serviceaccount,statefulset"
)


def git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True).stdout


def release() -> str:
    """The commit of the last release."""
    tags = git("tag", "--merged", "HEAD~1", "--sort=-creatordate").decode().split()
    return os.environ.get("MLFLOW_TEST_RELEASE") or next(iter(tags), "HEAD~50")


def declared(cluster: Cluster) -> dict[str, Any]:
    """What is declared of each object of the namespace, by KIND/NAME, without what the cluster notes of it."""
    found = {}
    for item in cluster.get(KINDS):
        metadata = {key: item["metadata"].get(key) or {} for key in ("labels", "annotations")}
        metadata["annotations"] = {key: value for key, value in metadata["annotations"].items() if key.startswith("mlops.mlflow/")}
        rest = {key: value for key, value in item.items() if key not in ("metadata", "status")}
        found[f"{item['kind']}/{item['metadata']['name']}"] = {**rest, **metadata}
    return found


def containers(cluster: Cluster) -> dict[str, tuple[str, int]]:
    """The pods of PostgreSQL and the store, each with its container, and how often that has been restarted."""
    names = [VARIABLES["postgresql_name"], VARIABLES["artifact_store_name"]]
    pods = cluster.get("pods", "", f"--selector=app.kubernetes.io/instance in ({','.join(names)})", "--field-selector=status.phase=Running")
    statuses = {pod["metadata"]["name"]: pod["status"]["containerStatuses"][0] for pod in pods}
    return {name: (status["containerID"], status["restartCount"]) for name, status in statuses.items()}


def fill(cluster: Cluster) -> dict[str, str]:
    """Make a run with a metric, an artifact and a registered model."""

    def made(path: str, body: object) -> Any:
        answer = cluster.https("POST", f"/api/2.0/mlflow/{path}", body)
        assert answer.status == 200, answer.body
        return answer.json()

    name = f"released-{time.time_ns()}"
    experiment = made("experiments/create", {"name": name})["experiment_id"]
    info: dict[str, str] = made("runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"]
    made("runs/log-metric", {"run_id": info["run_id"], "key": "accuracy", "value": 0.75, "timestamp": 1})
    made("registered-models/create", {"name": name})
    made("model-versions/create", {"name": name, "source": info["artifact_uri"], "run_id": info["run_id"]})
    artifact = f"/api/2.0/mlflow-artifacts/artifacts/{info['artifact_uri'].removeprefix('mlflow-artifacts:/').strip('/')}/kept.txt"
    assert cluster.https("PUT", artifact, CONTENT).status == 200
    return {"run": info["run_id"], "model": name, "artifact": artifact}


def told(cluster: Cluster, made: dict[str, str]) -> tuple[Any, ...]:
    """All of it, as the server tells it now."""
    run = cluster.https("GET", f"/api/2.0/mlflow/runs/get?run_id={made['run']}").json()["run"]["data"]
    model = cluster.https("GET", f"/api/2.0/mlflow/model-versions/get?name={made['model']}&version=1").json()["model_version"]
    return run, model["source"], model["run_id"], cluster.https("GET", made["artifact"]).body == CONTENT


@dataclass
class Upgraded:
    """Each run, and what there was before and after that of the checkout."""

    cluster: Cluster
    run: Run
    again: Run
    before: dict[str, Any]
    after: dict[str, Any]
    were: dict[str, tuple[str, int]]
    are: dict[str, tuple[str, int]]
    given: tuple[Any, ...]
    kept: tuple[Any, ...]


@pytest.fixture(scope="module")
def upgraded(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """A platform of its own, deployed by the last release, filled, and then deployed by the checkout, twice."""
    folder = tmp_path_factory.mktemp("release")
    collection = folder / "ansible_collections" / "mlops" / "mlflow"
    collection.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(git("archive", release()))) as archive:
        archive.extractall(collection, filter="data")
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    variables = {**VARIABLES, "mlflow_image_existing": image}
    (folder / "variables.yml").write_text(yaml.safe_dump(variables))
    platform = Cluster(os.environ["MLFLOW_TEST_INVENTORY"].split(":"), [f"@{folder / 'variables.yml'}"])
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("ANSIBLE_COLLECTIONS_PATH", str(folder))
            first = play(variables=variables, timeout=1800)
        assert first.status == 0, first.output
        assert str(folder) in first.output, "the last release's tasks ran"
        made = fill(platform)
        given, before, were = told(platform, made), declared(platform), containers(platform)
        run = play(variables=variables, timeout=1800)
        after, are, kept = declared(platform), containers(platform), told(platform, made)
        again = play(variables=variables, timeout=1800)
        yield Upgraded(platform, run, again, before, after, were, are, given, kept)
    finally:
        cluster.delete_namespace(NAMESPACE)


def news() -> str:
    """What the changelog says that it did not say at the last release."""
    lines = git("diff", "--unified=0", release(), "--", "changelogs").decode().splitlines()
    return "\n".join(line[1:] for line in lines if line.startswith("+") and not line.startswith("+++"))


def test_it_changes_only_what_the_changelog_names(upgraded: Upgraded) -> None:
    """Of each object that is new, gone or another, the changelog since the last release names the kind."""
    assert upgraded.run.status == 0, upgraded.run.output
    assert upgraded.before, "the last release has declared something"
    differing = {each for each in upgraded.before.keys() | upgraded.after.keys() if upgraded.before.get(each) != upgraded.after.get(each)}
    text = news()
    assert [each for each in sorted(differing) if not re.search(rf"\b{each.partition('/')[0].removesuffix('y')}(s|y|ies)?\b", text)] == []


def test_neither_postgresql_nor_the_store_restarts(upgraded: Upgraded) -> None:
    """Their containers are the same, and were not restarted."""
    assert len(upgraded.were) == 2
    assert upgraded.are == upgraded.were


def test_nothing_is_lost(upgraded: Upgraded) -> None:
    """What a client had made is there, and each value of each Secret is as it was."""
    assert upgraded.kept == upgraded.given
    assert upgraded.given[-1] is True
    secrets = {name: each["data"] for name, each in upgraded.before.items() if name.startswith("Secret/")}
    assert len(secrets) >= 4
    assert {name: {key: upgraded.after[name]["data"].get(key) for key in data} for name, data in secrets.items()} == secrets


def test_the_next_run_changes_nothing(upgraded: Upgraded) -> None:
    """As any second run."""
    assert (upgraded.again.status, upgraded.again.changed) == (0, 0), upgraded.again.output
