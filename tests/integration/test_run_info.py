"""mlflow_run_info against a real MLflow."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from harness import ModuleRunner
from tracking_servers import Server

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.run import adapter

API = "/api/2.0/mlflow"
MODULE = "mlflow_run_info"


@dataclass
class Experiment:
    """A new experiment, and its runs by their names."""

    client: RestClient
    name: str
    number: str
    runs: dict[str, str] = field(default_factory=dict)

    def run(self, name: str, started: int, **metrics: float | str) -> str:
        """The id of a new run."""
        body = {"experiment_id": self.number, "run_name": name, "start_time": started}
        number = str(self.client.write("POST", f"{API}/runs/create", body, idempotent=False)["run"]["info"]["run_id"])
        logged = [{"key": key, "value": value, "timestamp": 1, "step": 0} for key, value in metrics.items()]
        body = {"run_id": number, "metrics": logged, "params": [{"key": "p/q", "value": name}], "tags": [{"key": "тег", "value": "🤖 ' %"}]}
        self.client.write("POST", f"{API}/runs/log-batch", body)
        self.runs[name] = number
        return number


@pytest.fixture
def experiment(any_server: Server, request: pytest.FixtureRequest) -> Iterator[Experiment]:
    with closing(any_server.client()) as client:
        entries = client.listed(f"{API}/experiments/search", "experiments", max_results=1000, view_type="ALL")
        name = f"test {request.node.originalname} {max(int(entry['experiment_id']) for entry in entries)}"
        number = client.write("POST", f"{API}/experiments/create", {"name": name}, idempotent=False)["experiment_id"]
        yield Experiment(client, name, number)
        client.write("POST", f"{API}/experiments/delete", {"experiment_id": number})


def test_runs(any_server: Server, experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    run, client = any_server.run, experiment.client
    losses: dict[str, float | str] = {"a": 0.5, "b": "NaN", "c": 0.25, "d": 0.75}
    for started, (name, loss) in enumerate(losses.items(), 1):
        experiment.run(name, started, **{"val/loss": loss})
    dataset = {"name": "loans", "digest": "1f", "source_type": "s3", "source": "s3://b/x"}
    entry = {"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": "training"}]}
    client.write("POST", f"{API}/runs/log-inputs", {"run_id": experiment.runs["a"], "datasets": [entry]})

    # 2.22 takes NaN for 0 in a filter.
    inside = "metrics.`val/loss` > 0.1 AND metrics.`val/loss` < 0.7"
    found = run.succeed(MODULE, experiments=[experiment.name], filter=inside, order_by=["metrics.`val/loss` ASC"])
    assert not found["changed"]
    assert [(entry["run_name"], entry["metrics"]) for entry in found["runs"]] == [("c", {"val/loss": 0.25}), ("a", {"val/loss": 0.5})]
    assert (found["runs"][1]["params"], found["runs"][1]["tags"]["тег"]) == ({"p/q": "a"}, "🤖 ' %")
    assert found["runs"][1]["datasets"] == [{**dataset, "context": "training"}]
    assert (found["runs"][1]["start_time"], found["runs"][1]["end_time"], found["runs"][1]["status"]) == (1, None, "RUNNING")

    (one,) = run.succeed(MODULE, run_id=experiment.runs["b"])["runs"]
    assert (one["run_name"], one["metrics"]) == ("b", {"val/loss": "NaN"})

    monkeypatch.setattr(adapter, "_PAGE", 2)
    for most, names in ((1, "d"), (2, "dc"), (3, "dcb"), (4, "dcba"), (9, "dcba")):
        where = {"experiments": [experiment.number], "max_results": most}
        assert "".join(entry["run_name"] for entry in adapter.find(client, where)) == names

    client.write("POST", f"{API}/runs/delete", {"run_id": experiment.runs["d"]})
    for view, names in (("active_only", "cba"), ("deleted_only", "d"), ("all", "dcba")):
        where = {"experiments": [experiment.name], "max_results": 9, "view": view}
        assert "".join(entry["run_name"] for entry in adapter.find(client, where)) == names
    assert list(adapter.find(client, {"experiments": [], "max_results": 9})) == []
    assert list(adapter.find(client, {"run_id": "0" * 32})) == []


def test_errors(run: ModuleRunner) -> None:
    assert "experiment 'nowhere' does not exist; give the name or the id" in run.fail(MODULE, experiments=["nowhere"])
    assert "INVALID_PARAMETER_VALUE" in run.fail(MODULE, experiments=["Default"], filter="nonsense")
    assert "max_results: 0 is too small" in run.fail(MODULE, experiments=["Default"], max_results=0)
    assert "one of the following is required: run_id, experiments" in run.fail(MODULE)
