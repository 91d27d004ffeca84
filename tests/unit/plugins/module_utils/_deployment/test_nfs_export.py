"""The export of a folder: what is said of its variables, and what each server reads."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.nfs_export import DECISIONS

NODES = ["10.0.0.11", "10.0.0.12"]


def given(host: list[str] | None = None, **variables: Any) -> dict[str, Any]:
    """What the role gives, with these variables and what its inspection has found."""
    options = {"path": "/srv/mlflow", "clients": NODES, "state": "present"} | variables
    return {"variables": {f"nfs_{name}": value for name, value in options.items()}, "host": ["debian", "parent"] if host is None else host}


@pytest.mark.parametrize(("variables", "said"), [
    ({"path": "srv/mlflow"}, "nfs_path: 'srv/mlflow' cannot be exported"),
    ({"path": "/srv/my models"}, "nfs_path: '/srv/my models' cannot be exported"),
    ({"path": "/srv/../etc"}, "nfs_path: '/srv/../etc' cannot be exported"),
    ({"path": "/"}, "nfs_path: '/' cannot be exported"),
    ({"path": "/srv/"}, "nfs_path: '/srv/' is a folder of the system, whose owner would change; set one of its own, such as /srv/mlflow"),
    ({"clients": []}, "nfs_clients: is empty"),
    ({"clients": ["*"]}, "nfs_clients: '*' is not a host"),
    ({"clients": ["0.0.0.0/0"]}, "nfs_clients: '0.0.0.0/0' is not a host"),
    ({"clients": ["10.0.0.1(rw,no_root_squash)"]}, "nfs_clients: '10.0.0.1(rw,no_root_squash)' is not a host"),
    ({"host": ["debian"]}, "nfs_path: the folder above '/srv/mlflow' does not exist"),
])
def test_each_problem_is_named_with_its_remedy(variables: dict[str, Any], said: str) -> None:
    found = DECISIONS["problems"](given(**variables))
    assert len(found) == 1
    assert found[0].startswith(said)
    assert "; " in found[0]


@pytest.mark.parametrize("variables", [
    {}, {"path": "/srv/mlflow/"}, {"clients": ["node-1.lan", "10.0.0.0/24", "fd00::/64"]}, {"state": "absent", "clients": [], "host": []},
])
def test_nothing_is_said_where_nothing_is_wrong(variables: dict[str, Any]) -> None:
    assert DECISIONS["problems"](given(**variables)) == []


def test_a_kernel_with_nfs_serves_it_itself() -> None:
    """Each client alone, root as nobody, and the same identity wherever the path is written with a slash at its end."""
    place = DECISIONS["place"](given(["debian", "kernel", "parent"]))
    assert (place["packages"], place["service"], place["include"]) == (["nfs-kernel-server"], "nfs-server", "")
    export = place["content"].splitlines()[-1]
    assert [each.partition("(")[0] for each in export.split()] == ["/srv/mlflow", *NODES]
    assert export.count("(rw,sync,no_subtree_check,root_squash,fsid=") == len(NODES)
    assert DECISIONS["place"](given(["debian", "kernel", "parent"], path="/srv/mlflow/")) == place
    assert DECISIONS["place"](given(["kernel"]))["packages"] == ["nfs-utils"]


def test_otherwise_ganesha_does() -> None:
    """Nobody but the clients has access, and two exports of one host are told apart."""
    place, other = DECISIONS["place"](given()), DECISIONS["place"](given(path="/srv/other"))
    assert place["service"] == "nfs-ganesha"
    assert place["include"] == f'%include "{place["file"]}"'
    lines = [line.strip() for line in place["content"].splitlines()]
    assert {"Access_Type = None;", "Squash = root_squash;", "CLIENT { Clients = 10.0.0.11, 10.0.0.12; Access_Type = RW; }"} <= {*lines}
    assert other["file"] != place["file"]
    assert lines[2] != other["content"].splitlines()[2].strip()


@pytest.mark.parametrize(("state", "said"), [
    ("present", "nfs_path: '/srv/mlflow' is not exported"), ("absent", "nfs_state: is absent, but nfs-ganesha"),
])
def test_a_server_that_does_something_else_is_told_of(state: str, said: str) -> None:
    assert DECISIONS["refused"](given(state=state)).startswith(said)
