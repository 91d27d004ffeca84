"""The command ``mlflow-utils`` against a real server: in this process, since a new one takes seconds, and as a process where that matters."""
from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import pty
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from mlflow_server import Server, free_port
from rich.console import Console

import mlflow_utils
from mlflow_utils.cli import errors, output
from mlflow_utils.cli.app import SECRETS, _objective, run
from mlflow_utils.cli.output import plain
from mlflow_utils.model_registry import Conflict, KServeMetadata, ModelRegistry

if TYPE_CHECKING:
    from mlflow_utils.client import Client

SOURCE = Path(mlflow_utils.__file__).parents[1]
PASSWORD = "not to be seen $HOME 'x'"
MODULE = ("-m", "mlflow_utils.cli")
CAPTURE: dict[str, Any] = {"capture_output": True, "text": True}
Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]


def settings(**variables: str) -> dict[str, str]:
    """The environment of the tests without the caller's settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "AWS_"))}
    return {**clean, "PYTHONPATH": str(SOURCE), **variables}


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """What the command changes in its process is as before."""
    import mlflow  # noqa: PLC0415 - two seconds

    before, uri, registry = dict(os.environ), mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    levels = {name: logging.getLogger(name).level for name in ("urllib3", "mlflow")}
    yield
    os.environ.clear()
    os.environ.update(before)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(registry)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def execute(*arguments: str, environment: Mapping[str, str], code: int = 0) -> Done:
    """Run the command in this process, as ``checked``."""
    out, err = io.StringIO(), io.StringIO()
    with restored():
        os.environ.clear()
        os.environ.update(environment)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            result = run(arguments)
    return checked(subprocess.CompletedProcess(arguments, result, out.getvalue(), err.getvalue()), code)


def start(*arguments: str, environment: Mapping[str, str], code: int = 0, python: tuple[str, ...] = MODULE) -> Done:
    """Run the command as a process, as ``checked``."""
    done = subprocess.run(
        [sys.executable, *python, *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )
    return checked(done, code)


def checked(done: Done, code: int) -> Done:
    """``done``, which must have ended with ``code`` and, where that is not 0 or 5, with nothing but one sentence on stderr."""
    assert done.returncode == code, done
    if code not in (0, 3, 5):
        assert done.stdout == ""
    if code not in (0, 5):
        assert re.fullmatch(r"mlflow-utils: [^\n]+[^\n.]\n|", done.stderr), done.stderr
    return done


@pytest.fixture
def command(client: Client) -> Command:
    """Runs the command with the test's server."""
    environment = settings(**client.environment())

    return lambda *arguments, code=0: execute(*arguments, environment=environment, code=code)


@pytest.fixture
def answer(command: Command) -> Callable[..., Any]:
    """Runs the command, and gives what it prints as JSON."""
    return lambda *arguments, code=0: json.loads(command(*arguments, "-o", "json", code=code).stdout)


@pytest.fixture(scope="module")
def experiment(client: Client) -> str:
    """An experiment with three runs."""
    name = f"cli {uuid.uuid4().hex}"
    experiment_id = client.mlflow.create_experiment(name)
    for number, (f1, latency) in enumerate([(0.9, 40.0), (0.8, 10.0), (0.7, float("nan"))]):
        run_id = client.mlflow.create_run(experiment_id, run_name=f"run [bold]{number}[/]").info.run_id
        client.mlflow.log_metric(run_id, "f1", f1)
        client.mlflow.log_metric(run_id, "latency", latency)
        client.mlflow.log_param(run_id, "depth", number)
        client.mlflow.set_terminated(run_id)
    return name


@pytest.fixture
def model(client: Client, experiment: str) -> str:
    """A model with a version for each run."""
    name = f"cli {uuid.uuid4().hex}"
    client.mlflow.create_registered_model(name)
    found = client.mlflow.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.mlflow.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])
    for number, one in enumerate(runs):
        client.mlflow.create_model_version(name, f"s3://elsewhere/{number}", one.info.run_id, await_creation_for=0)
    return name


def test_every_command_prints_the_three_forms(command: Command, experiment: str, model: str) -> None:
    command("promote", model, "1")
    command("promote", model, "2")
    for arguments in (["experiments"], ["runs", experiment], ["models"], ["models", model], ["health"], ["env"], ["compare", experiment, "-m", "f1"]):
        table = command(*arguments).stdout
        assert table
        assert "\x1b" not in table
        as_json = json.loads(command("--output", "json", *arguments).stdout)
        as_yaml = yaml.safe_load(command(*arguments, "--output", "yaml").stdout)
        if arguments[-1] in ("experiments", "models"):  # tests of other files use the server meanwhile
            as_json, as_yaml = ([one for one in found if one["name"] in (experiment, model)] for found in (as_json, as_yaml))
        if arguments != ["health"]:  # whose latency is another each time
            assert as_json == as_yaml
        assert as_json


def test_experiments_and_runs(answer: Callable[..., Any], command: Command, experiment: str) -> None:
    found = [one for one in answer("experiments") if one["name"] == experiment]
    assert len(found) == 1
    by_id = answer("runs", found[0]["experiment_id"])
    runs = answer("runs", experiment)
    assert by_id == runs
    assert [run["run_name"] for run in runs] == ["run [bold]2[/]", "run [bold]1[/]", "run [bold]0[/]"]
    assert (runs[0]["metrics.f1"], runs[0]["metrics.latency"], runs[0]["params.depth"], runs[0]["status"]) == (0.7, None, "2", "FINISHED")
    assert [run["params.depth"] for run in answer("runs", experiment, "--order-by", "metrics.f1 DESC", "--limit", "2")] == ["0", "1"]
    assert [run["params.depth"] for run in answer("runs", experiment, "--filter", "metrics.f1 < 0.75")] == ["2"]
    table = command("runs", experiment).stdout
    assert "run [bold]2[/]" in table
    assert all(run["run_id"] in table for run in runs)


def test_compare(answer: Callable[..., Any], command: Command, experiment: str, tmp_path: Path) -> None:
    found = answer("compare", experiment, "-m", "f1", "-m", "latency:min")
    ids = [run["run_id"] for run in found["runs"]]
    assert found["best"] == {"f1": ids[:1], "latency": ids[1:2]}
    assert found["pareto_front"] == ids[:2]
    assert found["parameter_differences"] == {"depth": dict(zip(ids, "012", strict=True))}
    assert "Pareto front" in command("compare", experiment, "-m", "f1", "-m", "latency:min").stdout
    for suffix, beginning in ((".html", "<!DOCTYPE html>"), (".md", "## Runs"), (".csv", "run_id,")):
        report = tmp_path / f"report{suffix}"
        assert command("compare", experiment, "-m", "f1", "--to", str(report)).stdout == ""
        assert report.read_text(encoding="utf-8").startswith(beginning)


def test_promote_and_roll_back(answer: Callable[..., Any], command: Command, model: str) -> None:
    first = answer("promote", model, "2", "--metric", "f1")
    assert (first["promoted"], first["previous"], first["check"]["candidate"]) == (True, None, 0.8)
    worse = answer("promote", model, "3", "--metric", "f1", code=5)
    assert (worse["promoted"], worse["reason"]) == (False, "f1 is 0.7, the champion has 0.8: not better")
    assert answer("promote", model, "1", "--metric", "f1", "--min-improvement", "0.2", code=5)["promoted"] is False
    assert answer("promote", model, "1", "--metric", "latency:min", code=5)["promoted"] is False
    assert answer("promote", model, "1", "--metric", "f1:max", "--min-improvement", "0.1")["previous"] == "2"
    assert answer("promote", model, "1", "--metric", "f1")["promoted"] is False
    assert answer("models", model)[2]["aliases"] == ["champion"]
    assert [one["aliases"] for one in answer("models") if one["name"] == model] == [{"champion": "1"}]
    assert "f1 is 0.7, the champion has 0.9: not better" in command("promote", model, "latest", "-m", "f1", code=5).stdout
    assert answer("rollback", model) == {"name": model, "version": "2", "place": "alias champion", "replaced": "1"}
    no_earlier = command("rollback", model, code=4)
    assert "no earlier version of the model" in no_earlier.stderr
    assert answer("promote", model, "3", "--stage", "staging")["place"] == "stage Staging"
    assert answer("promote", model, "@champion", "--alias", "challenger")["version"] == "2"


def test_serve_manifest_is_what_the_registry_makes(client: Client, command: Command, model: str) -> None:
    registry = ModelRegistry(client)
    registry.set_kserve(model, 1, KServeMetadata(runtime="kserve-mlserver", limits={"memory": "1Gi"}))
    options = ("--service-name", "risk", "--namespace", "serving", "--service-account", "reader", "--artifact-root", "s3://warehouse")
    expected = registry.inference_service(
        model, 1, service_name="risk", namespace="serving", service_account="reader", artifact_root="s3://warehouse"
    )
    assert yaml.safe_load(command("serve-manifest", model, "1", *options).stdout) == expected
    assert json.loads(command("serve-manifest", model, "1", *options, "-o", "json").stdout) == expected
    command("promote", model, "1")
    assert yaml.safe_load(command("serve-manifest", model).stdout) == registry.inference_service(model)
    assert yaml.safe_load(command("serve-manifest", f"models:/{model}@champion").stdout) == registry.inference_service(model)


def test_as_a_process(client: Client, model: str) -> None:
    environment = settings(**client.environment())
    assert json.loads(start("-o", "json", "promote", model, "1", "-m", "none", environment=environment, code=5).stdout)["promoted"] is False
    assert "there is no experiment 'nowhere'" in start("runs", "nowhere", environment=environment, code=4).stderr


def test_health(command: Command, answer: Callable[..., Any], client: Client) -> None:
    found = answer("health")
    assert (found["reachable"], found["message"]) == (True, client.health().message)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Missing command; --help shows what there is"),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["promote", "m"], 2, "Missing argument"),
        (["experiments", "--nonsense"], 2, "No such option"),
        (["-o", "xml", "experiments"], 2, "'xml' is not one of 'table', 'json', 'yaml'"),
        (["runs", "--limit", "0"], 2, "Invalid value for '--limit'"),
        (["promote", "m", "1", "--min-improvement", "-1"], 2, "Invalid value for '--min-improvement'"),
        (["compare", "--to", "report.pdf"], 2, "--to is 'report.pdf'; its name must end with .md, .html or .csv"),
        (["promote", "m", "1", "--alias", "a", "--stage", "Staging"], 2, "both alias ('a') and stage ('Staging') are given; leave one of them out"),
        (["-f", "/nowhere.yml", "experiments"], 2, "the settings file /nowhere.yml cannot be read"),
        (["runs", "nowhere"], 4, "there is no experiment 'nowhere'"),
        (["models", "nowhere"], 4, "there is no registered model 'nowhere'"),
        (["promote", "nowhere", "1"], 4, "the model 'nowhere' has no version 1"),
        (["serve-manifest", "nowhere"], 4, "there is no registered model 'nowhere'"),
        (["runs", "--filter", "a ="], 1, "MLflow answers: Invalid "),
        (["compare", "--to", "/nowhere/report.csv"], 1, "/nowhere/report.csv: "),
    ],
)
def test_an_error_is_one_sentence_and_a_code(command: Command, arguments: list[str], code: int, message: str) -> None:
    assert message in command(*arguments, code=code).stderr


def test_a_metric_that_no_run_has(command: Command, experiment: str) -> None:
    assert command("compare", experiment, "-m", "auc", code=4).stderr == "mlflow-utils: no run has the metric 'auc'; the metrics are f1, latency\n"


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    for environment in (
        settings(MLFLOW_TRACKING_URI=uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"),
        settings(MLFLOW_TRACKING_URI=uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1"),
    ):
        for arguments in (["experiments"], ["models"], ["compare"]):
            done = execute(*arguments, environment=environment, code=3)
            assert done.stderr == f"mlflow-utils: no server answers at {uri}; check tracking_uri (MLFLOW_TRACKING_URI) and that the server runs\n"
    file = tmp_path / "settings.yml"
    file.write_text(f"tracking_uri: {uri}\nretries: 0\n")
    assert uri in execute("-f", str(file), "experiments", environment=settings(), code=3).stderr
    down = execute("health", "-o", "json", environment=environment, code=3)
    assert json.loads(down.stdout)["reachable"] is False


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("guarded"), auth=True) as running:
        yield running


@pytest.mark.server
def test_wrong_credentials_are_named_and_not_shown(guarded: Server) -> None:
    wrong = settings(MLFLOW_TRACKING_URI=guarded.uri, MLFLOW_TRACKING_USERNAME="admin", MLFLOW_TRACKING_PASSWORD=PASSWORD)
    for arguments in (["experiments"], ["models"], ["runs"]):
        done = execute(*arguments, environment=wrong, code=3)
        assert "refuses the credentials; check username and password" in done.stderr
        assert PASSWORD not in done.stderr
    right = {**wrong, "MLFLOW_TRACKING_PASSWORD": "for-the-tests-alone"}
    assert "Default" in execute("experiments", environment=right).stdout


SECRETIVE = {
    "MLFLOW_TRACKING_URI": "http://mlflow.example.org",
    "MLFLOW_TRACKING_USERNAME": "ann",
    "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    "MLFLOW_S3_ENDPOINT_URL": "http://s3.example.org",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "not to be seen either",
}


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_env_shows_secrets_only_when_asked(form: str) -> None:
    environment = settings(**SECRETIVE)
    hidden = execute("env", "-o", form, environment=environment)
    assert "not to be seen" not in hidden.stdout + hidden.stderr
    assert "mlflow.example.org" in hidden.stdout
    assert hidden.stderr == "mlflow-utils: left out MLFLOW_TRACKING_PASSWORD, AWS_SECRET_ACCESS_KEY; --show-secrets prints secrets too\n"
    shown = execute("env", "-o", form, "--show-secrets", environment=environment)
    assert "not to be seen either" in shown.stdout
    assert shown.stderr == ""
    token = execute("env", environment=settings(MLFLOW_TRACKING_TOKEN="not to be seen"))
    assert "not to be seen" not in token.stdout + token.stderr
    assert set(SECRETS) == {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY"}


def test_a_shell_reads_env_back() -> None:
    lines = execute("env", "--show-secrets", environment=settings(**SECRETIVE)).stdout
    script = f"{lines}\n{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    done = subprocess.run(["sh", "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True, timeout=60)
    read = json.loads(done.stdout)
    assert {name: read[name] for name in SECRETIVE} == SECRETIVE


def test_wrong_settings_are_named_without_the_secret() -> None:
    alone = execute("experiments", environment=settings(MLFLOW_TRACKING_PASSWORD=PASSWORD), code=2)
    assert alone.stderr == "mlflow-utils: username and password belong together; give both or neither\n"


def test_version_help_and_completion(client: Client, experiment: str) -> None:
    environment = settings(**client.environment())
    assert execute("--version", environment=environment).stdout.strip() == mlflow_utils.__version__
    words = execute("--help", environment=environment).stdout
    commands = "experiments runs compare models promote rollback serve-manifest health doctor login logout token env".split()
    for name in [*commands, "--show-completion"]:
        assert name in words
    asked = {"_MLFLOW_UTILS_COMPLETE": "complete_bash", "COMP_WORDS": "mlflow-utils ser", "COMP_CWORD": "1"}
    assert start(environment={**environment, **asked}).stdout.split() == ["serve-manifest"]
    asked = {"_MLFLOW_UTILS_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"mlflow-utils runs '{experiment[:-1]}"}
    assert experiment in start(environment={**environment, **asked}).stdout
    nobody = {**environment, **asked, "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    assert experiment not in start(environment=nobody).stdout


def test_the_tab_key_is_answered_without_a_word(client: Client) -> None:
    """Where the server is away, takes no connection or is slow. Without a limit of its own, the client would try again for minutes."""

    def pressed(words: str, **variables: str) -> str:
        asked = {"_MLFLOW_UTILS_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": words}
        words_of_python = [sys.executable, *MODULE]
        done = subprocess.run(words_of_python, env=settings(**asked, **variables), stdin=subprocess.DEVNULL, timeout=90, check=False, **CAPTURE)
        assert done.stderr == ""
        return str(done.stdout).strip()

    assert "runs" in pressed("mlflow-utils run")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uris = [f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{silent.getsockname()[1]}", "http://mlflow.mlflow.svc.cluster.local"]
        for uri in uris:
            for command in ("runs", "models"):
                assert pressed(f"mlflow-utils {command} a", MLFLOW_TRACKING_URI=uri) in {"", "_files"}, "what zsh is told where there is nothing"


RUN_ROWS = [
    {"run_id": f"{number:032x}", "run_name": f"painted-fox-{number}", "status": "FINISHED", **{f"metrics.m{each}": 0.1 * each for each in range(10)}}
    for number in range(8)
]


@pytest.mark.parametrize("count", [2, 8])
def test_a_terminal_of_80_columns_shows_ids_whole_and_says_what_it_leaves_out(
    count: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "Console", lambda **options: Console(force_terminal=True, width=80, color_system=None, **options))
    output.table(RUN_ROWS[:count])
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    text = " ".join(lines)
    for row in RUN_ROWS[:count]:
        assert len([line for line in lines if str(row["run_id"]) in line]) == 1
        assert str(row["run_name"]) in text
    if count == 2:
        assert all(text.count(f"metrics.m{each}") == 2 for each in range(10)), "one below the other, everything is there"
    else:
        assert len(lines) < 2 * count + 6, "a line a run"
        assert all(f"metrics.m{each}" in text for each in range(10)), "what is left out is named"
        assert "columns do not fit" in text


def test_the_manifest_of_a_model_that_kserve_cannot_serve_says_what_to_do(client: Client, command: Command) -> None:
    import mlflow  # noqa: PLC0415 - two seconds
    import numpy as np  # noqa: PLC0415 - comes with mlflow
    from mlflow.models import infer_signature  # noqa: PLC0415 - as above
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - as above

    features = np.array([[0.0], [1.0]])
    fitted = LinearRegression().fit(features, [0.0, 1.0])
    experiment_id = client.mlflow.create_experiment(f"serving {uuid.uuid4().hex}")
    signature = infer_signature(features, fitted.predict(features))
    name = f"served-{uuid.uuid4().hex}"
    for options in ({}, {"serialization_format": "cloudpickle", "signature": signature}):
        with mlflow.start_run(experiment_id=experiment_id) as active:
            mlflow.sklearn.log_model(fitted, name="model", pip_requirements=["scikit-learn"], **options)
        ModelRegistry(client).register(f"runs:/{active.info.run_id}/model", name)
    said = {}
    for version in ("1", "2"):
        out, err = io.StringIO(), io.StringIO()
        with restored(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            assert run(["serve-manifest", name, version, "--artifact-root", "s3://warehouse/mlflow"]) == 0
        said[version] = err.getvalue()
        assert yaml.safe_load(out.getvalue())["kind"] == "InferenceService"
    assert 'log it with serialization_format="cloudpickle", or set the runtime' in said["1"]
    assert "the model has no signature" in said["1"]
    assert said["2"] == ""


def test_progress_is_shown_on_a_terminal_only(client: Client, experiment: str, command: Command) -> None:
    assert command("compare", experiment).stderr == ""
    parent, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, *MODULE, "compare", experiment, "-o", "json"],
        env=settings(**client.environment(), TERM="xterm", COLUMNS="80"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=child,
    ) as process:
        os.close(child)
        assert process.stdout is not None
        printed = process.stdout.read()
        assert process.wait(60) == 0
    shown = os.read(parent, 100_000).decode()
    os.close(parent)
    assert "runs read: " in shown
    assert len(json.loads(printed)["runs"]) == 3


def test_a_reader_that_went_away_is_no_error(client: Client, experiment: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, *MODULE, "runs", experiment, "-o", "json"],
            env=settings(**client.environment()),
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("missing", "arguments", "message"),
    [
        ("typer", ["env"], "typer is not installed; install the extra: pip install 'mlflow-utils[cli]'"),
        ("rich", ["env"], "rich is not installed; install the extra: pip install 'mlflow-utils[cli]'"),
        ("pandas", ["compare"], "pandas is not installed; install the extra: pip install 'mlflow-utils[compare]'"),
    ],
)
def test_an_extra_that_is_missing_is_named(client: Client, missing: str, arguments: list[str], message: str) -> None:
    # In place of an environment without it: an import of the package fails as it does there.
    block = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {missing!r}: raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from mlflow_utils.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    done = start(*arguments, environment=settings(**client.environment()), code=1, python=("-c", block))
    assert done.stderr == f"mlflow-utils: {message}\n"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt(), (130, "interrupted")),
        (Conflict("another was quicker"), (1, "another was quicker")),
        (ValueError("first line.\nsecond"), (1, "first line")),
        (RuntimeError(), (1, "RuntimeError")),
    ],
)
def test_the_rest_of_the_errors(error: BaseException, expected: tuple[int, str]) -> None:
    assert errors.explained(error) == expected


def test_a_metric_with_a_direction() -> None:
    assert [_objective(words) for words in ("f1", "f1:min", "a:b", "a:b:max", ":min")] == [
        ("f1", "max"),
        ("f1", "min"),
        ("a:b", "max"),
        ("a:b", "max"),
        (":min", "max"),
    ]


def test_what_json_cannot_write_is_null() -> None:
    assert plain({"a": [float("inf"), float("nan"), 1.5, True, None, "x"]}) == {"a": [None, None, 1.5, True, None, "x"]}
