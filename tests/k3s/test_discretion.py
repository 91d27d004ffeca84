"""What everybody can see of a run and of a deployment: no secret at -vvv, in the arguments of a process, or in an object other than a Secret."""
from __future__ import annotations

import base64
import json
import time

import pytest
from cluster import Cluster
from playbook import play
from visible import Visible, shown

pytestmark = [pytest.mark.akko, pytest.mark.alters]
line = pytest.mark.line("(beyond) no secret in output, arguments, diffs, logs or ConfigMaps")
#: In -vvv too long to be missed, and of every kind: edited, so that each of them is set anew in what it opens.
EDITED = {"postgresql_name": ("admin-password", "password"), "artifact_store_name": (), "mlflow_server_name": ("ingress-password",)}


def secrets(cluster: Cluster) -> dict[str, str]:
    """All secret values of the deployment, by Secret and key, as they are and as Kubernetes writes them."""
    found = {}
    for secret in cluster.get("secrets", "", "--selector", "app.kubernetes.io/managed-by=mlops.mlflow"):
        for key, value in secret["data"].items():
            text = base64.b64decode(value).decode()
            if not key.endswith((".crt", "USERNAME", "username", "access-key")) and len(text) > 12:
                # Of a key the first line after its header: the last ones hold its public half.
                told = next(one for one in text.split("\n")[1:] if len(one) > 30) if "\n" in text else text
                found[f"{secret['metadata']['name']}/{key}"] = told
                found[f"{secret['metadata']['name']}/{key}, base64"] = value
    assert len(found) >= 20
    return found


def told(output: str, held: dict[str, str]) -> list[tuple[str, str]]:
    """Each task whose output holds a secret, with the secret's name."""
    return sorted({(task.partition("]")[0], name) for task in output.split("\nTASK [") for name in shown(task, held)})


@line
def test_no_secret_is_seen_of_a_run(cluster: Cluster) -> None:
    """With every password edited and the verification run once more: nothing of them in what is printed at -vvv with diffs, nothing in ps."""
    before, mark = secrets(cluster), f"SeenAt{time.time_ns()}"
    for variable, keys in EDITED.items():
        for key in keys:
            text = {"stringData": {key: f"{mark}{variable}{key}"}}
            cluster.kubectl("patch", "secret", cluster.variables[variable], "--patch", json.dumps(text))
    with Visible() as visible:
        run = play(variables={"mlflow_verify_always": True}, words=["-vvv", "--diff"])
    vars(cluster).pop("credentials", None)
    assert run.status == 0, run.output[-5000:]
    assert run.changed > 0
    assert visible.rounds > 100
    everything = {**{f"{name} before": value for name, value in before.items()}, **secrets(cluster)}
    assert told(run.output, everything) == []
    assert visible.showing(everything) == {}
    print(f"{len(everything)} secrets, {len(run.output) >> 10} KiB of output, {len(visible.commands)} command lines in {visible.rounds} rounds")


@line
def test_no_secret_is_in_another_object(cluster: Cluster) -> None:
    """Of any kind, and in no pod's log."""
    kinds = cluster.run("k3s kubectl api-resources --namespaced --verbs=list,delete --output=name").split()
    wanted = ",".join(kind for kind in kinds if kind != "secrets")
    held = secrets(cluster)
    assert shown(cluster.kubectl("get", wanted, "--output", "json"), held) == []
    for pod in cluster.get("pods"):
        assert shown(cluster.kubectl("logs", pod["metadata"]["name"], "--all-containers", "--tail=-1"), held) == []
