"""Runs: what is logged, how they end, autologging, resumption, and what happens without MLflow."""
from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mlflow_server import Server, free_port
from pydantic import BaseModel, SecretStr

from mlflow_utils import Client, Run, connect, track
from mlflow_utils._params import flatten
from mlflow_utils.tracker import current_run


@pytest.fixture(scope="module")
def here(server: Server) -> Iterator[Client]:
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING")]:
        del os.environ[name]
    yield connect(tracking_uri=server.uri, timeout=60)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def experiment() -> str:
    return f"tracker {uuid.uuid4().hex}"


def runs(client: Client, experiment: str) -> list[Any]:
    found = client.mlflow.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.mlflow.search_runs([found.experiment_id], order_by=["attributes.start_time"]))


def artifacts(client: Client, run_id: str | None) -> list[str]:
    assert run_id is not None
    return sorted(file.path for file in client.mlflow.list_artifacts(run_id))


@dataclass
class Optimizer:
    """Something within a model."""

    name: str = "adam"
    rates: list[float] = field(default_factory=lambda: [0.1, 0.01])


class Model(BaseModel):
    """A configuration as programs have it."""

    depth: int = 3
    token: SecretStr = SecretStr("hush")
    optimizer: Optimizer = Optimizer()


# Parameters


def test_parameters_come_from_models_dataclasses_and_mappings() -> None:
    expected = {"depth": "3", "token": "**********", "optimizer.name": "adam", "optimizer.rates": "[0.1, 0.01]"}
    assert flatten(Model()) == expected
    nested = {f"model.{key}": value for key, value in expected.items()}
    assert flatten({"model": Model(), "empty": {}, 1: None}) == {**nested, "empty": "{}", "1": "None"}
    with pytest.raises(TypeError, match="not from int"):
        flatten(3)
    with pytest.raises(TypeError, match="not from type"):
        flatten(Optimizer)


# What is logged


def test_a_run_has_everything_that_was_logged(here: Client, experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGO_WORKFLOW_NAME", "train-x7")
    monkeypatch.setenv("KFP_RUN_ID", "k-1")
    monkeypatch.setenv("CONTAINER_IMAGE", "registry/train:1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    with track(experiment, "first", params=Model(), tags={"team": "risk", "tier": 1}, client=here, strict=True) as run:
        assert current_run() is run
        run.log_params({f"p{number}": number for number in range(150)})
        for step in range(3):
            run.log_metrics({"loss": 1 / (step + 1), "auc": step}, step)
        run.log_metric("loss", 0.25, 3)
        run.set_tags({"later": True})
        run.log_artifact(tmp_path / "b.txt")
        run.log_artifact(tmp_path / "folder", "uploaded")
        run.log_text("hello", "hello.txt")
        run.log_dict({"a": 1}, "a.json")
        assert run.last("loss") == (3, 0.25)
        assert run.last("nothing") is None
    assert current_run() is None
    [found] = runs(here, experiment)
    assert (found.info.run_id, found.info.run_name, found.info.status) == (run.id, "first", "FINISHED")
    assert len(found.data.params) == 154
    assert found.data.params["optimizer.name"] == "adam"
    assert found.data.metrics == {"loss": 0.25, "auc": 2.0}
    expected = {"team": "risk", "tier": "1", "later": "True", "argo.workflow": "train-x7", "kubeflow.run_id": "k-1", "image": "registry/train:1"}
    assert expected.items() <= found.data.tags.items()
    assert {"host", "mlflow.source.git.commit"} <= found.data.tags.keys()
    assert artifacts(here, run.id) == ["a.json", "b.txt", "hello.txt", "uploaded"]


def test_runs_within_one_another_are_nested(here: Client, experiment: str) -> None:
    with track(experiment, "outer", client=here, autolog=False) as outer:
        for fold in range(2):
            with track(run_name=f"fold {fold}", autolog=False, strict=True) as inner:
                inner.log_metric("auc", fold)
        outer.log_metric("auc", 0.5)
    by_name = {run.info.run_name: run for run in runs(here, experiment)}
    assert set(by_name) == {"outer", "fold 0", "fold 1"}
    assert {by_name[f"fold {fold}"].data.tags["mlflow.parentRunId"] for fold in range(2)} == {outer.id}
    assert by_name["outer"].data.metrics == {"auc": 0.5}


def test_a_decorator_opens_a_run_a_call(here: Client, experiment: str) -> None:
    @track(experiment, client=here, autolog=False)
    def train(depth: int, *, rate: float = 0.1) -> float:
        """Train."""
        run = current_run()
        assert run is not None
        run.log_params({"depth": depth, "rate": rate})
        return depth * rate

    @track(experiment, client=here, autolog=False)
    async def train_later() -> int:
        await asyncio.sleep(0)
        assert current_run() is not None
        return 7

    assert (train(2), train(3, rate=1.0), asyncio.run(train_later())) == (0.2, 3.0, 7)
    assert (train.__name__, train.__doc__) == ("train", "Train.")
    assert [run.info.run_name for run in runs(here, experiment)] == ["train", "train", "train_later"]


def test_system_metrics(here: Client, experiment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow  # noqa: PLC0415 - costs two seconds

    mlflow.set_system_metrics_sampling_interval(0.1)  # type: ignore[no-untyped-call]
    mlflow.set_system_metrics_samples_before_logging(1)  # type: ignore[no-untyped-call]
    with track(experiment, client=here, system_metrics=True, autolog=False, strict=True) as run:
        import time  # noqa: PLC0415

        limit = time.monotonic() + 60
        while "system/system_memory_usage_megabytes" not in here.mlflow.get_run(str(run.id)).data.metrics:
            assert time.monotonic() < limit
            time.sleep(0.2)
    assert "system/cpu_utilization_percentage" in runs(here, experiment)[0].data.metrics


# How runs end


class UserError(Exception):
    """Something in the user's code."""


@pytest.mark.parametrize("strict", [False, True])
def test_the_users_error_fails_the_run_and_goes_on(here: Client, experiment: str, strict: bool) -> None:
    with pytest.raises(UserError, match="depth"), track(experiment, client=here, strict=strict, autolog=False) as run:  # noqa: PT012
        run.log_metric("loss", 1.0)
        raise UserError("depth is 0")
    [found] = runs(here, experiment)
    assert found.info.status == "FAILED"
    assert found.data.metrics == {"loss": 1.0}
    text = here.mlflow.download_artifacts(str(run.id), "traceback.txt")
    assert 'raise UserError("depth is 0")' in Path(text).read_text()


@pytest.mark.parametrize(
    ("error", "status", "files"),
    [
        (KeyboardInterrupt(), "KILLED", ["traceback.txt"]),
        (SystemExit(0), "FINISHED", []),
        (SystemExit(2), "FAILED", ["traceback.txt"]),
    ],
)
def test_other_ends(here: Client, experiment: str, error: BaseException, status: str, files: list[str]) -> None:
    with pytest.raises(type(error)), track(experiment, client=here, autolog=False):
        raise error
    [found] = runs(here, experiment)
    assert found.info.status == status
    assert artifacts(here, found.info.run_id) == files


def test_wrong_parameters_are_the_users_error(here: Client, experiment: str) -> None:
    with pytest.raises(TypeError, match="parameters come from"), track(experiment, client=here, params=3, autolog=False):
        raise AssertionError
    assert runs(here, experiment)[0].info.status == "FAILED"
    with pytest.raises(ValueError, match="autolog names keras"):
        track(experiment, autolog=["keras"])


def test_a_run_that_the_program_has_ended_itself_leaves_the_outer_one_alone(here: Client, experiment: str) -> None:
    import mlflow  # noqa: PLC0415 - costs two seconds

    with track(experiment, "outer", client=here, autolog=False) as outer:
        with track(run_name="inner", autolog=False):
            mlflow.end_run()
        active = mlflow.active_run()
        assert active is not None
        assert active.info.run_id == outer.id


# Resumption


def test_an_unfinished_run_goes_on(here: Client, experiment: str) -> None:
    def attempt(fails: bool) -> Run:
        with track(experiment, client=here, resume="workflow's-1", params={"depth": 3}, autolog=False, strict=True) as run:
            last = run.last("loss")
            run.log_metric("loss", 0.5, 0 if last is None else last[0] + 1)
            if fails:
                raise UserError
        return run

    with pytest.raises(UserError):
        attempt(True)
    resumed = attempt(False)
    assert resumed.resumed
    [found] = runs(here, experiment)
    assert found.info.status == "FINISHED"
    assert found.info.run_id == resumed.id
    assert [metric.step for metric in here.mlflow.get_metric_history(str(resumed.id), "loss")] == [0, 1]
    assert not attempt(False).resumed
    assert len(runs(here, experiment)) == 2


def test_mlflow_run_id_is_gone_on_with(here: Client, experiment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with track(experiment, client=here, autolog=False) as first:
        pass
    monkeypatch.setenv("MLFLOW_RUN_ID", str(first.id))
    with track(experiment, client=here, autolog=False) as second:
        assert second.resumed
    assert second.id == first.id


def test_a_killed_process_is_gone_on_with(here: Client, experiment: str) -> None:
    program = (
        "import os, sys\nfrom mlflow_utils import track\nwith track(sys.argv[1], resume='k', autolog=False) as run:\n"
        "    run.log_metric('loss', 1.0)\n    os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, **here.environment()}
    assert subprocess.run([sys.executable, "-c", program, experiment], env=environment, check=False, timeout=300).returncode == -9
    assert runs(here, experiment)[0].info.status == "RUNNING"
    with track(experiment, client=here, resume="k", autolog=False) as run:
        assert run.resumed
        assert run.last("loss") == (0, 1.0)
    assert [found.info.status for found in runs(here, experiment)] == ["FINISHED"]


# Without MLflow


def test_training_goes_on_without_a_server(here: Client, experiment: str, caplog: pytest.LogCaptureFixture) -> None:
    gone = Client(here.settings.model_copy(update={"tracking_uri": f"http://127.0.0.1:{free_port()}", "retries": 0}))
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - costs two seconds

    with track(experiment, client=gone, params={"a": 1}) as run:
        assert run.id is None
        run.log_metric("loss", 1.0)
        run.log_text("a", "a.txt")
        assert run.last("loss") is None
    assert "MLflow could not start a run, and the program goes on without one" in caplog.text
    with pytest.raises(UserError), track(experiment, client=gone):
        raise UserError
    with pytest.raises(MlflowException), track(experiment, client=gone, strict=True):
        raise AssertionError
    connect(here.settings)


def test_metrics_of_an_outage_are_sent_when_it_is_over(
    server: Server, here: Client, experiment: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with track(experiment, client=here, autolog=False) as run:
        run.log_metric("loss", 1.0, 0)
        server.stop()
        try:
            for step in range(1, 4):
                run.log_metric("loss", 1.0, step)
            run.set_tags({"lost": True})
            assert len([record for record in caplog.records if "the program goes on" in record.getMessage()]) == 1
        finally:
            server.start()
            server.wait()
    [found] = runs(here, experiment)
    assert found.info.status == "FINISHED"
    assert "lost" not in found.data.tags
    assert [metric.step for metric in here.mlflow.get_metric_history(str(run.id), "loss")] == [0, 1, 2, 3]


def test_what_mlflow_refuses_is_a_warning(here: Client, experiment: str, caplog: pytest.LogCaptureFixture) -> None:
    with track(experiment, client=here, params={"depth": 1}, autolog=False) as run:
        run.log_params({"depth": 2})
        run.log_metric("not (allowed)", 1.0)
        run.log_metric("allowed", 1.0)
    assert caplog.text.count("the program goes on") == 2
    assert "1 metrics of run" in caplog.text
    [found] = runs(here, experiment)
    assert (found.data.params, found.data.metrics) == ({"depth": "1"}, {"allowed": 1.0})


# What MLflow refuses takes nothing else with it


def test_a_refused_metric_takes_no_other_with_it(
    here: Client, experiment: str, caplog: pytest.LogCaptureFixture, arrived: Callable[..., None]
) -> None:
    with track(experiment, client=here, autolog=False) as run:
        for step in range(3):
            assert not run.log_metrics({"loss": 0.3, "recall@10": 0.5, "auc": 0.7}, step)
        assert run.log_metric("loss", 0.1, 3)
        assert run.refused == 3
        with pytest.raises(ValueError, match="could not convert"):
            run.log_metrics({"text": "high", "f1": 0.5})  # type: ignore[dict-item]
    [found] = runs(here, experiment)
    assert found.data.metrics == {"loss": 0.1, "auc": 0.7, "f1": 0.5}
    history = {key: len(here.mlflow.get_metric_history(str(run.id), key)) for key in ("loss", "auc", "f1")}
    assert history == {"loss": 4, "auc": 3, "f1": 1}
    arrived("D8", accepted=11, delivered=sum(history.values()), refused=run.refused)
    assert caplog.text.count("MLflow refuses the metric 'recall@10'") == 1
    assert "3 metrics of run" in caplog.text


def test_metrics_that_waited_are_kept_beside_a_refused_one(
    server: Server, here: Client, experiment: str, monkeypatch: pytest.MonkeyPatch, arrived: Callable[..., None]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with track(experiment, client=here, autolog=False) as run:
        server.stop()
        try:
            assert not run.log_metrics({f"m{number}": number for number in range(500)})
            assert not run.log_metric("ndcg@10", 1.0)
        finally:
            server.start()
            server.wait()
    [found] = runs(here, experiment)
    assert run.refused == 1
    arrived("D8", accepted=501, delivered=len(found.data.metrics), refused=run.refused)


def test_refused_parameters_and_tags_take_no_others_with_them(
    here: Client, experiment: str, caplog: pytest.LogCaptureFixture, arrived: Callable[..., None]
) -> None:
    parameters = {f"p{number}": number for number in range(60)}
    with track(experiment, client=here, params={"depth": 3}, tags={"team": "risk", "x" * 300: "1"}, autolog=False) as run:
        assert not run.log_params({**parameters, "layers[0]": 1})
        assert not run.log_params({"depth": 4, "rate": 0.1})
        assert not run.set_tags({"a": 1, "y" * 300: 2})
        assert run.refused == 4
    [found] = runs(here, experiment)
    assert found.data.params == {**{key: str(value) for key, value in parameters.items()}, "depth": "3", "rate": "0.1"}
    assert {"team": "risk", "a": "1"}.items() <= found.data.tags.items()
    assert caplog.text.count("MLflow refuses the parameter 'layers[0]'") == 1
    delivered = len(found.data.params) + len({"team", "a"} & found.data.tags.keys())
    arrived("D8", accepted=68, delivered=delivered, refused=run.refused)


def test_a_strict_run_raises_for_what_is_refused_and_keeps_the_rest(here: Client, experiment: str) -> None:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - costs two seconds

    with pytest.raises(MlflowException, match="recall@10"), track(experiment, client=here, autolog=False, strict=True) as run:
        run.log_metrics({"recall@10": 0.5, "loss": 0.3})
    assert runs(here, experiment)[0].data.metrics == {"loss": 0.3}


def test_what_a_deleted_run_logs_is_refused_and_said_once(
    here: Client, experiment: str, caplog: pytest.LogCaptureFixture, arrived: Callable[..., None]
) -> None:
    with track(experiment, client=here, autolog=False) as run:
        here.mlflow.delete_run(str(run.id))
        for step in range(20):
            assert not run.log_metrics({"loss": 0.3, "auc": 0.5}, step)
        arrived("D3", accepted=40, delivered=0, refused=run.refused)
    assert caplog.text.count("has been deleted, and the program goes on") == 1
    assert "40 metrics of run" in caplog.text


def test_files_whose_names_the_client_cannot_send_are_refused_and_the_others_kept(
    here: Client, experiment: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("issue#1.txt", "issue#2.txt", "issue?3.txt", "a%20b.txt", "a b.txt", "ü.txt", "deep/c.txt"):
        (tmp_path / name).write_text(name)
    with track(experiment, client=here, autolog=False) as run:
        assert not run.log_artifact(tmp_path)
        assert not run.log_artifact(tmp_path / "issue#1.txt")
        assert run.log_artifact(tmp_path / "a b.txt", "folder")
        assert not run.log_artifact(tmp_path / "a b.txt", "fold#er")
        assert not run.log_text("a", "a?.txt")
        assert not run.log_dict({}, "a#.json")
        assert run.refused == 8
    assert artifacts(here, run.id) == ["a b.txt", "deep", "folder", "ü.txt"]
    assert caplog.text.count("give it another one") == 7, "each once; one was tried twice"


def test_a_file_that_cannot_be_read_takes_no_other_with_it(here: Client, experiment: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    (tmp_path / "a-link").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "a-pipe")
    with track(experiment, client=here, autolog=False) as run:
        assert not run.log_artifact(tmp_path)
        assert not run.log_artifact(tmp_path / "nowhere")
        assert run.log_metric("loss", 1.0), "a file is no outage"
        assert run.refused == 3
    assert artifacts(here, run.id) == ["a", "b"]


# Overlaps


def test_one_object_may_be_entered_twice(here: Client, experiment: str) -> None:
    opened = track(experiment, "twice", client=here, autolog=False)
    with opened as outer:
        with opened as inner:
            assert current_run() is inner
        assert current_run() is outer
    assert current_run() is None
    assert [run.info.status for run in runs(here, experiment)] == ["FINISHED", "FINISHED"]


def test_a_generator_is_refused() -> None:
    def batches() -> Iterator[int]:
        yield 1

    async def later() -> AsyncIterator[int]:
        yield 1

    for function in (batches, later):
        with pytest.raises(TypeError, match="a generator, whose work is not done when the call returns"):
            track("e")(function)


def test_what_a_function_returns_undone_is_said(here: Client, experiment: str, caplog: pytest.LogCaptureFixture) -> None:
    decorated = track(experiment, client=here, autolog=False)(lambda: (number for number in range(3)))
    assert list(decorated()) == [0, 1, 2]
    assert "returns a generator, whose work is not in its run" in caplog.text


OVERLAPPING = """
import json, sys, threading
from mlflow_utils import track
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
a_open, b_open, a_ended = threading.Event(), threading.Event(), threading.Event()
def a():
    with track(sys.argv[1], "a", strict=True):
        a_open.set()
        b_open.wait()
    a_ended.set()
def b():
    a_open.wait()
    with track(sys.argv[1], "b", strict=True):
        b_open.set()
        a_ended.wait()
        LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
threads = [threading.Thread(target=a), threading.Thread(target=b)]
for thread in threads: thread.start()
for thread in threads: thread.join()
LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
"""


def test_a_run_that_ends_leaves_the_autologging_of_another_on(here: Client, experiment: str, arrived: Callable[..., None]) -> None:
    environment = {**os.environ, **here.environment()}
    words = [sys.executable, "-c", OVERLAPPING, experiment]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = {run.info.run_name: run.data.params for run in runs(here, experiment)}
    assert set(found) == {"a", "b"}, "autologging outside of a run is off"
    assert found["b"]["max_iter"] == "500"
    assert found["a"] == {}
    arrived("D5", accepted=1, delivered=len([name for name, params in found.items() if "max_iter" in params]))


# Where a program comes from


def test_the_commit_is_that_of_the_script(here: Client, experiment: str, tmp_path: Path) -> None:
    """Not of the folder that the program is called from; a module of its own that was never added is a change."""
    commits = {}
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "train.py").write_text(
            "import sys, json\nif len(sys.argv) > 1: import extra\nfrom mlflow_utils._origin_tags import git_tags\nprint(json.dumps(git_tags()))\n"
        )
        (folder / "unused.txt").write_text(name)
        git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@example.org"]
        for words in (["init", "-q"], ["add", "train.py"], ["commit", "-q", "-m", name]):
            subprocess.run([*git, *words], check=True)
        commits[name] = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        (folder / "extra.py").write_text("")

    def said(*words: str) -> dict[str, str]:
        done = subprocess.run([sys.executable, "../a/train.py", *words], cwd=tmp_path / "b", capture_output=True, text=True, check=True)
        found: dict[str, str] = json.loads(done.stdout)
        return found

    assert said() == {"mlflow.source.git.commit": commits["a"], "git.dirty": "false"}
    assert said("extra") == {"mlflow.source.git.commit": commits["a"], "git.dirty": "true"}
    (tmp_path / "a" / "train.py").write_text((tmp_path / "a" / "train.py").read_text() + "\n")
    assert said()["git.dirty"] == "true"


# Autologging, each library in a process of its own

LIBRARIES = {
    "sklearn": (
        "from sklearn.ensemble import RandomForestClassifier\nfrom sklearn.datasets import load_iris\n"
        "RandomForestClassifier(n_estimators=3, random_state=0).fit(*load_iris(return_X_y=True))",
        "n_estimators",
        "training_accuracy_score",
    ),
    "xgboost": (
        "import numpy as np, xgboost\ndata = xgboost.DMatrix(np.arange(20.).reshape(10, 2), np.arange(10) % 2)\n"
        "xgboost.train({'max_depth': 2, 'nthread': 1}, data, 3, evals=[(data, 'train')])",
        "max_depth",
        "train-rmse",
    ),
    "lightgbm": (
        "import numpy as np, lightgbm\ndata = lightgbm.Dataset(np.arange(200.).reshape(100, 2), np.arange(100) % 2)\n"
        "lightgbm.train({'objective': 'binary', 'num_leaves': 3, 'verbose': -1, 'num_threads': 1}, data, 3, valid_sets=[data])",
        "num_leaves",
        "training-binary_logloss",
    ),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_is_imported_within_the_run_logs_by_itself(here: Client, experiment: str, library: str) -> None:
    code, parameter, metric = LIBRARIES[library]
    program = (
        "import json, sys\nfrom mlflow_utils import track\nimport mlflow\n"
        f"with track(sys.argv[1], strict=True) as run:\n    assert {library!r} not in sys.modules\n"
        + "\n".join(f"    {line}" for line in code.splitlines())
        + f"\n{code}\nassert mlflow.active_run() is None\n"
        "print(json.dumps({'id': run.id, 'imported': sorted({'sklearn', 'xgboost', 'lightgbm'} & set(sys.modules))}))"
    )
    environment = {**os.environ, **here.environment()}
    done = subprocess.run([sys.executable, "-c", program, experiment], env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    [found] = runs(here, experiment)  # the second training, outside of the block, made none
    assert found.info.run_id == said["id"]
    assert parameter in found.data.params
    assert metric in found.data.metrics
    models = here.mlflow.search_logged_models([found.info.experiment_id])
    assert models, "no model was logged"
    if library == "sklearn":
        # A forest, which the skops format would refuse: autologging asks for cloudpickle, as the docstring of sklearn_trust says.
        import mlflow  # noqa: PLC0415 - costs two seconds

        model = Path(mlflow.artifacts.download_artifacts(f"models:/{models[0].model_id}"))
        assert "serialization_format: cloudpickle" in (model / "MLmodel").read_text()
