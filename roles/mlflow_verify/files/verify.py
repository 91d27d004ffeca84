"""Use an MLflow server as its clients do, from a parameter to a prediction, and clean up.

Reads MLflow's own variables (MLFLOW_TRACKING_URI and the rest), and in MLFLOW_VERIFY_HOSTS the names by which the server is
reached, with commas between them. Where MLFLOW_VERIFY_SCOPE is tracking, it logs runs and an artifact, and leaves the server's
names and models alone. MLFLOW_VERIFY_ARTIFACT_ROOT, s3://BUCKET/PREFIX or a folder, is where others read artifacts past the server.
Prints a line a step; the first failure ends it with what broke and where to look, in a pod as the
container's termination message too, and exit status 1. The model is one of scikit-learn where that is installed.
"""
from __future__ import annotations

import http.client
import importlib.util
import os
import socket
import sys
import time
import types
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import mlflow.pyfunc
import numpy
from mlflow.entities import ViewType

#: The network of a new pod is let through some moments after the pod has started.
PATIENCE_SECONDS = 10
NAME = os.environ.get("MLFLOW_VERIFY_NAME", "mlflow-verify")
ARTIFACT_ROOT = os.environ.get("MLFLOW_VERIFY_ARTIFACT_ROOT", "")
IS_TRACKING_ALONE = os.environ.get("MLFLOW_VERIFY_SCOPE") == "tracking"
MEBIBYTE = 1 << 20
DATABASE = "the server's log for the database it cannot use; the database's own log"
ARTIFACTS = "the server's log for S3 errors; the artifact store, its bucket and credentials"
REGISTRY = "the server's log; the schema's version (schema.py status)"


#: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
TERMINATION_LOG = Path("/dev/termination-log")
FEATURES, LABELS = numpy.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 1, 1]


@contextmanager
def step(what: str, where_to_look: str) -> Iterator[None]:
    """Time a step, and end the program with the place to look if it fails."""
    start = time.monotonic()
    try:
        yield
    except Exception as error:
        message = " ".join(str(error).split())
        failure = f"FAILED: {what}: {type(error).__name__}: {message[:600]}\nLook at: {where_to_look}"
        if TERMINATION_LOG.exists():
            TERMINATION_LOG.write_text(failure)
        sys.exit(failure)
    print(f"ok: {what} ({(time.monotonic() - start) * 1000:.0f} ms)", flush=True)


def check(condition: bool, problem: str) -> None:
    """Raise unless ``condition`` holds; ``assert`` would be gone under ``python -O``."""
    if not condition:
        raise RuntimeError(problem)


class Threshold(mlflow.pyfunc.PythonModel):
    """A model that needs nothing but Python: 1 from the given value on, else 0."""

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, model_input):
        """One label a row of numbers."""
        return [int(row[0] >= self.value) for row in numpy.asarray(model_input)]


def log_model() -> tuple[str, list[int]]:
    """Log a model, and give its URI and what it predicts for the features."""
    # Naming the requirements saves the seconds that finding them out takes; they are not what is verified here.
    if importlib.util.find_spec("sklearn") is None:
        model = Threshold(2.0)
        logged = mlflow.pyfunc.log_model(name="model", python_model=model, pip_requirements=["numpy"])
    else:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (a server's image may lack it)

        model = LogisticRegression().fit(FEATURES, LABELS)
        logged = mlflow.sklearn.log_model(model, name="model", pip_requirements=["scikit-learn"])
    return logged.model_uri, list(model.predict(FEATURES))


def status(uri: str, path: str, host: str) -> tuple[int, bytes]:
    """Status and body of one GET under the name ``host``, without credentials."""
    address = urlsplit(uri)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    with closing(kind(address.hostname, address.port, timeout=30)) as connection:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read()


def reach(uri: str) -> None:
    """Connect to the server; where it refuses or does not answer, again for some seconds, and then for good."""
    address = urlsplit(uri)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection((address.hostname, address.port or (443 if address.scheme == "https" else 80)), timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def stored(uri: str) -> str:
    """The text that lies in the artifact store at an artifact's URI, read past the server."""
    place = urlsplit(uri if uri.startswith("s3:") else f"{ARTIFACT_ROOT.rstrip('/')}{urlsplit(uri).path}")
    if place.scheme != "s3":
        return Path(place.path).read_text(encoding="utf-8")
    import boto3  # noqa: PLC0415 (a server's image may lack it)

    server = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL"))
    return server.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"].read().decode()


def check_names(uri: str) -> None:
    """The server answers by each of its names, and by no other: against DNS rebinding."""
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    for host in filter(None, os.environ.get("MLFLOW_VERIFY_HOSTS", "").split(",")):
        # 401 is an answer: it asks for a password.
        got = status(uri, path, host)[0]
        check(got in (200, 401), f"by the name {host} it answers {got}; mlflow_server_extra_hosts lists further names")
    got = status(uri, path, "mlflow-verify.invalid")[0]
    check(got == 403, f"by the foreign name mlflow-verify.invalid it answers {got}, not 403")


def stand_in_for_kubernetes() -> None:
    """MLflow wants the package kubernetes before it logs in by a service account, whose token it reads without it; a server's image may lack it."""
    if os.environ.get("MLFLOW_TRACKING_AUTH", "").startswith("kubernetes") and importlib.util.find_spec("kubernetes") is None:
        sys.modules["kubernetes"] = package = types.ModuleType("kubernetes")
        package.client = package.config = None


def verify(client: mlflow.MlflowClient, model_name: str, runs: list[str]) -> None:
    """Every step; the ids of the runs made are added to ``runs``."""
    uri = mlflow.get_tracking_uri()
    with step("reach the server", "whether the server runs, and which NetworkPolicies are on the way from here to tracking_uri"):
        reach(uri)
    if not IS_TRACKING_ALONE:
        verify_names(uri)
    experiment_id = verify_tracking(client, runs)
    if not IS_TRACKING_ALONE:
        verify_models(client, model_name, runs, experiment_id)


def verify_names(uri: str) -> None:
    """The server's health, and the names that it answers by."""
    with step("the server is alive", "whether the server runs, and whether tracking_uri reaches it from here"):
        check(status(uri, "/health", urlsplit(uri).netloc) == (200, b"OK"), "/health did not say OK")

    with step("answer by its own names, and refuse a foreign one", "MLFLOW_SERVER_ALLOWED_HOSTS of the server"):
        check_names(uri)


def verify_tracking(client: mlflow.MlflowClient, runs: list[str]) -> str:
    """Two runs and an artifact of a mebibyte; the experiment's id."""
    with step("set an experiment", DATABASE):
        deleted = client.get_experiment_by_name(NAME)
        if deleted is not None and deleted.lifecycle_stage == "deleted":
            client.restore_experiment(deleted.experiment_id)
        experiment = mlflow.set_experiment(NAME)

    for accuracy in (0.5, 0.9):
        with step(f"log parameters, metrics and tags of a run with accuracy {accuracy}", DATABASE), mlflow.start_run() as run:
            runs.append(run.info.run_id)
            mlflow.log_params({"algorithm": "logistic_regression", "max_iter": 100})
            mlflow.log_metrics({"accuracy": accuracy, "f1_score": accuracy / 2})
            mlflow.set_tag("purpose", "verification")

    with step("log an artifact and read it back", ARTIFACTS), mlflow.start_run(run_id=runs[-1]):
        text = uuid.uuid4().hex * (MEBIBYTE // 32)
        mlflow.log_text(text, "notes/verify.txt")
        check(mlflow.artifacts.load_text(f"runs:/{runs[-1]}/notes/verify.txt") == text, "the artifact came back changed")
    if ARTIFACT_ROOT:
        with step(f"read it from {ARTIFACT_ROOT}, past the server", "the way to the artifact store, its keys, and whether it is the server's"):
            check(stored(f"{client.get_run(runs[-1]).info.artifact_uri}/notes/verify.txt") == text, "another file lies there")
    return str(experiment.experiment_id)


def verify_models(client: mlflow.MlflowClient, model_name: str, runs: list[str], experiment_id: str) -> None:
    """A model from its run to a prediction through the registry."""
    with step("log a model", ARTIFACTS), mlflow.start_run(run_id=runs[-1]):
        model_uri, expected = log_model()

    with step("search runs, the best first", DATABASE):
        mine, best_first = "tags.purpose = 'verification'", ["metrics.accuracy DESC"]
        found = mlflow.search_runs([experiment_id], mine, ViewType.ACTIVE_ONLY, order_by=best_first)
        order = [run_id for run_id in found["run_id"] if run_id in runs]
        check(order == runs[::-1], f"expected {runs[::-1]}, got {order}")

    with step("register the model", REGISTRY):
        version = mlflow.register_model(model_uri, model_name).version

    with step("give the version an alias and a stage", REGISTRY):
        client.set_registered_model_alias(model_name, "champion", version)
        client.transition_model_version_stage(model_name, version, "Production")
        check(client.get_model_version(model_name, version).current_stage == "Production", "the stage did not change")

    with step("load the model through its alias and predict", ARTIFACTS):
        predicted = list(mlflow.pyfunc.load_model(f"models:/{model_name}@champion").predict(FEATURES))
        check(predicted == expected == LABELS, f"the loaded model predicts {predicted}")


def clean_up(client: mlflow.MlflowClient, model_name: str, runs: list[str]) -> None:
    """Remove the model for good, and the runs to where ``mlflow gc`` collects them."""
    for run_id in runs:
        client.delete_run(run_id)
    if client.search_registered_models(f"name = '{model_name}'"):
        client.delete_registered_model(model_name)


def main() -> None:
    """Verify and clean up; the failure that is shown is the first one."""
    stand_in_for_kubernetes()
    client = mlflow.MlflowClient()
    model_name = f"{NAME}-{uuid.uuid4().hex[:8]}"
    runs: list[str] = []
    try:
        verify(client, model_name, runs)
    except SystemExit:
        with suppress(Exception):
            clean_up(client, model_name, runs)
        raise
    with step("remove what this made", DATABASE):
        clean_up(client, model_name, runs)


if __name__ == "__main__":
    main()
