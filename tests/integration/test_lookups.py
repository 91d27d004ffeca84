"""The lookups mlflow_model and mlflow_run, as a playbook uses them."""
from __future__ import annotations

import json
import os
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness import ANSIBLE, COLLECTIONS, ROOT, Stack
from tracking_servers import Flavour, Server, Servers

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient

API = "/api/2.0/mlflow"
MODEL = "test lookup@home имя"


class Playbook:
    """Looks things up in a playbook of one task each, all in one run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, stack: Stack, *expressions: str, **variables: Any) -> list[Any]:
        """What each expression gives; the message of its failure where it fails."""
        tasks: list[dict[str, Any]] = [
            {"ansible.builtin.set_fact": {f"found_{n}": f"{{{{ {text} }}}}"}, "ignore_errors": True, "register": f"task_{n}"}
            for n, text in enumerate(expressions)
        ]
        gathered = "[" + ", ".join(f"found_{n} | default(task_{n}.msg | default())" for n in range(len(expressions))) + "]"
        result = self._folder / "result.json"
        tasks.append({"ansible.builtin.copy": {"content": f"{{{{ {gathered} | to_json }}}}", "dest": str(result)}})
        play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": tasks}]
        path = self._folder / "play.yml"
        path.write_text(json.dumps(play))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
            **{name: value for name, value in stack.environment().items() if value},
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
        }
        command = [str(ANSIBLE.with_name("ansible-playbook")), "-i", "localhost,", "-e", f"ansible_python_interpreter={stack.python}", str(path)]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        assert "Traceback" not in output, output
        assert not stack.tracking_password or stack.tracking_password not in output
        found: list[Any] = json.loads(result.read_text())
        return found


@pytest.fixture
def look_up(tmp_path: Path) -> Playbook:
    return Playbook(tmp_path)


def add_model(client: RestClient) -> None:
    remove_model(client)
    client.write("POST", f"{API}/registered-models/create", {"name": MODEL}, idempotent=False)
    for number in (1, 2, 3):
        body = {"name": MODEL, "source": f"s3://elsewhere/{number}", "tags": [{"key": "k", "value": "v"}], "description": "d"}
        client.write("POST", f"{API}/model-versions/create", body, idempotent=False)
    client.write("POST", f"{API}/registered-models/alias", {"name": MODEL, "alias": "champion", "version": "2"})
    client.write("POST", f"{API}/model-versions/transition-stage", {"name": MODEL, "version": "1", "stage": "Production"})


def remove_model(client: RestClient) -> None:
    if client.get_or_none(f"{API}/registered-models/get", name=MODEL):
        client.write("DELETE", f"{API}/registered-models/delete", {"name": MODEL})


def model(rest: str, **options: str) -> str:
    words = "".join(f", {key}={value!r}" for key, value in options.items())
    return f"lookup('mlops.mlflow.mlflow_model', 'models:/{rest}'{words})"


def test_models(look_up: Playbook, stack: Stack, server: RestClient) -> None:
    add_model(server)
    champion, *rest = look_up(
        stack,
        *(model(f"{MODEL}{which}") for which in ("@champion", "/2", "/latest", "/production", "@nobody", "/9", "/Staging", "/x/y")),
        model("nowhere/latest"),
        f"query('mlops.mlflow.mlflow_model', 'models:/{MODEL}/1', 'models:/{MODEL}/3') | map(attribute='version')",
    )
    second, latest, production, nobody, ninth, staging, address, nowhere, both = rest
    assert champion == second
    assert {key: champion[key] for key in ("name", "version", "source", "aliases", "tags", "description", "run_id", "current_stage", "status")} == {
        "name": MODEL,
        "version": "2",
        "source": "s3://elsewhere/2",
        "aliases": ["champion"],
        "tags": {"k": "v"},
        "description": "d",
        "run_id": "",
        "current_stage": "None",
        "status": "READY",
    }
    assert (latest["version"], production["version"], both) == ("3", "1", ["1", "3"])
    assert f"registered model '{MODEL}' has no alias 'nobody', or does not exist; name a model" in nobody
    assert f"registered model '{MODEL}' has no version 9, or does not exist" in ninth
    assert "has no version in stage Staging" in staging
    assert f"term: 'models:/{MODEL}/x/y' is not the address of a model's version; use models:/NAME@ALIAS" in address
    assert "registered model 'nowhere' has no version, or does not exist" in nowhere
    remove_model(server)


def test_models_of_an_old_server(look_up: Playbook, servers: Servers) -> None:
    server = servers(Flavour("2.22.5", "sqlite", auth=True))
    with closing(server.client()) as client:
        add_model(client)
        versions = look_up(server.stack, *(f"{model(MODEL + which)}.version" for which in ("@champion", "/2", "/latest", "/Production")))
        assert versions == ["2", "2", "3", "1"]
        (missing,) = look_up(server.stack, model("nowhere@nobody"))
        assert "registered model 'nowhere' has no alias 'nobody', or does not exist" in missing
        remove_model(client)


def test_where_the_connection_comes_from(look_up: Playbook, stack: Stack) -> None:
    bare = Stack("", "", "", stack.python)
    text = "lookup('mlops.mlflow.mlflow_run', 'nowhere', metric='m')"
    given = f"lookup('mlops.mlflow.mlflow_run', 'nowhere', metric='m', tracking_uri='{stack.tracking_uri}', tracking_password='wrong', **user)"
    password = {"mlflow_tracking_username": "{{ user.tracking_username }}", "mlflow_tracking_password": stack.tracking_password}
    user = {"tracking_username": stack.tracking_username}
    by_variable, by_option = look_up(bare, text, given, user=user, mlflow_tracking_uri=f"{{{{ '{stack.tracking_uri}' }}}}", **password)
    assert "experiment 'nowhere' does not exist" in by_variable
    assert "refused the credentials (401)" in by_option
    nothing, no_metric = look_up(bare, text, "lookup('mlops.mlflow.mlflow_run', 'nowhere', tracking_uri='http://127.0.0.1:9')")
    assert "tracking_uri: is required but not given; give it to the lookup, or set the variable mlflow_tracking_uri" in nothing
    assert "metric: is required but not given; give it to the lookup" in no_metric


def test_the_best_run(look_up: Playbook, any_server: Server) -> None:
    with closing(any_server.client()) as client:
        entries = client.listed(f"{API}/experiments/search", "experiments", max_results=1000, view_type="ALL")
        name = f"test best {max(int(entry['experiment_id']) for entry in entries)}"
        number = client.write("POST", f"{API}/experiments/create", {"name": name}, idempotent=False)["experiment_id"]
        losses = {"nan": "NaN", "late": 0.25, "early": 0.25, "none": None, "top": 0.75, "other": 0.5}
        for started, (run, loss) in zip((1, 5, 3, 2, 4, 6), losses.items()):
            body = {"experiment_id": number, "run_name": run, "start_time": started}
            made = client.write("POST", f"{API}/runs/create", body, idempotent=False)["run"]["info"]["run_id"]
            metrics = [] if loss is None else [{"key": "val/loss x", "value": loss, "timestamp": 1, "step": 0}]
            client.write("POST", f"{API}/runs/log-batch", {"run_id": made, "metrics": metrics})

        def best(**options: str) -> str:
            words = "".join(f", {key}={value!r}" for key, value in options.items())
            return f"lookup('mlops.mlflow.mlflow_run', '{name}'{words})"

        smallest, greatest, filtered, missing, only_nan = look_up(
            any_server.stack,
            f"{best(metric='val/loss x', mode='min')}.run_name",
            best(metric="val/loss x"),
            f"{best(metric='val/loss x', filter='metrics.`val/loss x` < 0.7')}.run_name",
            best(metric="auc"),
            best(metric="val/loss x", filter="attributes.start_time < 3"),
        )
        client.write("POST", f"{API}/experiments/delete", {"experiment_id": number})
    assert (smallest, greatest["run_name"], greatest["metrics"], filtered) == ("early", "top", {"val/loss x": 0.75}, "other")
    for message, metric in ((missing, "auc"), (only_nan, "val/loss x")):
        assert f"experiment '{name}' has no run with a number for the metric '{metric}' among those asked for; correct metric or filter" in message
