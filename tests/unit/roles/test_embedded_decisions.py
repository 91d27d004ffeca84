"""What the embedded stack decides before and while its processes are brought up, without a stack."""
from __future__ import annotations

import configparser
import itertools
import shlex
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import artifact_store_problems, embedded_stack
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.embedded_stack import FOLDERS, Wanted
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.supervised_process import (
    Found,
    Process,
    is_new,
    problem,
    supervisor_configuration,
    verb,
)

PINS = "boto3==1.44.5 \\\n    --hash=sha256:00\nembedded-postgres==18.6.3 \\\n    --hash=x\nmlflow==3.17.2 \\\n    --hash=y\nmlflow-skinny==3.17.2\n"
WANTED = Wanted("/s", PINS)
FOUND: dict[str, Any] = {
    "entries": [*FOLDERS, "venv"], "has_systemd": False, "unwritable": "", "free": 5000, "disk": "/", "postgresql_version": "18",
    "mlflow_version": "3.17.2", "problems": [], "losses": [], "supervisors": [7], "answers": True, "left": [], "has_unit": False,
    "is_being_restored": False, "is_being_rotated": False,
}  # fmt: skip


def test_the_versions_are_those_of_the_list() -> None:
    assert (WANTED.mlflow_version, WANTED.postgresql_version) == ("3.17.2", "18")
    assert Wanted("/s", "").mlflow_version == ""


def test_nothing_stands_in_the_way_of_a_stack_that_is_right() -> None:
    assert embedded_stack.problem(WANTED, FOUND) == ""
    fresh = {**FOUND, "entries": [], "postgresql_version": "", "mlflow_version": "", "supervisors": [], "answers": False}
    assert embedded_stack.problem(WANTED, fresh) == ""


@pytest.mark.parametrize(
    ("home", "user", "says"),
    [
        ("relative", "mlflow", "has 8 characters or is not absolute"),
        ("/" + "x" * 80, "mlflow", "has 81 characters"),
        ("/my home", "mlflow", "choose another folder, such as '/my-home'"),
        ("/a*b", "mlflow", "or a wildcard"),
        ("/s", "root", "embedded_user: PostgreSQL refuses to run as 'root'"),
    ],
)
def test_variables_that_cannot_work_are_refused(home: str, user: str, says: str) -> None:
    assert says in embedded_stack.problem_of_variables(home, user)
    assert embedded_stack.problem_of_variables("/" + "x" * 79, "mlflow") == ""


@pytest.mark.parametrize(
    ("wanted", "found", "says"),
    [
        ({"service": "systemd"}, {}, "embedded_service: is 'systemd', but systemd does not run this machine"),
        ({}, {"unwritable": "/dev/null"}, "cannot be used, because /dev/null is not writable"),
        ({}, {"free": 199}, "has 199 MiB free, and 200 MiB are needed to go on"),
        ({}, {"free": 4095, "entries": []}, "has 4095 MiB free, and 4096 MiB are needed to start"),
        ({}, {"postgresql_version": "16"}, "was written by PostgreSQL 16, and PostgreSQL 18, which would be installed, cannot read it"),
        ({}, {"mlflow_version": "3.18.0"}, "3.17.2 is older than 3.18.0"),
        ({}, {"entries": ["thesis.tex"], "free": 5000}, "contains other files"),
        ({}, {"problems": ["a is empty"], "losses": ["b"]}, "a is empty"),
        ({}, {"is_being_restored": True}, "embedded_home: a restore to '/s' runs or was interrupted, and an empty MLflow would"),
        ({}, {"is_being_rotated": True, "losses": ["b"]}, "embedded_home: a rotation of the keys of '/s' was interrupted, and the database may"),
        ({}, {"losses": ["b is missing"]}, "b is missing; if you do not need what is lost, -e embedded_fresh_start=true"),
        ({}, {"losses": ["b", "c", "d"]}, "b (2 more like this); if"),
        ({"fresh_start": True}, {"problems": ["a is empty"]}, "a is empty"),
    ],
)
def test_what_cannot_work_is_refused(wanted: dict[str, Any], found: dict[str, Any], says: str) -> None:
    assert says in embedded_stack.problem(replace(WANTED, **wanted), {**FOUND, **found})


def test_a_restore_goes_on_where_it_was_interrupted() -> None:
    assert embedded_stack.problem(replace(WANTED, restores=True), {**FOUND, "is_being_restored": True}) == ""


def test_a_rotation_goes_on_where_it_was_interrupted() -> None:
    assert embedded_stack.problem(replace(WANTED, rotates=True), {**FOUND, "is_being_rotated": True}) == ""


def test_losses_are_accepted_on_request() -> None:
    assert embedded_stack.problem(replace(WANTED, fresh_start=True), {**FOUND, "losses": ["b"]}) == ""


@pytest.mark.parametrize(
    "found",
    [
        {"entries": ["venv", *FOLDERS[1:]]}, {"left": [8]}, {"supervisors": []}, {"supervisors": [7, 8]}, {"answers": False}, {"has_unit": True},
    ],
)  # fmt: skip
def test_a_stack_that_is_not_right_needs_work(found: dict[str, Any]) -> None:
    assert not embedded_stack.needs_work(WANTED, FOUND, True, True)
    assert embedded_stack.needs_work(WANTED, {**FOUND, **found}, True, True)
    assert embedded_stack.needs_work(WANTED, FOUND, False, True)
    assert embedded_stack.needs_work(WANTED, FOUND, True, False)
    assert embedded_stack.needs_work(replace(WANTED, service="systemd"), FOUND, True, True)


# The processes

PROCESS = Process("/s%1", "mlflow", ["sh", "-c", "echo 100% \"$HOME\"; exec it's"], {"/s%1/x.env": "A=1\n"}, ["/tmp/a.sock"])


def test_the_supervisor_reads_the_declaration_as_it_is_meant() -> None:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    parser.read_string(PROCESS.declaration)
    section = parser["program:mlflow"]
    assert shlex.split(section["command"].replace("%%", "%")) == PROCESS.command
    assert section["directory"] == "/s%%1"
    assert section["stopasgroup"] == "true"
    assert replace(PROCESS, stop_signal="INT").declaration.count("stopasgroup=false") == 1
    assert ";socket=/tmp/a.sock\n" in PROCESS.declaration
    assert replace(PROCESS, files={"/s%1/x.env": "A=2\n"}).declaration != PROCESS.declaration
    assert set(PROCESS.all_files) == {"/s%1/x.env", "/s%1/services/mlflow.conf"}
    own = configparser.RawConfigParser()
    own.read_string(supervisor_configuration("/s%1", "10MB", 5))
    assert own["unix_http_server"]["file"] == "/s%%1/run/supervisor.sock"


STATES = ["", "STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN"]


@pytest.mark.parametrize(("state", "anew", "differing"), list(itertools.product(STATES, [False, True], [(), ("/x",)])))
def test_each_state_leads_to_one_verb(state: str, anew: bool, differing: tuple[str, ...]) -> None:
    found = Found(state, anew, differing)
    if anew or differing:
        assert verb(found) == "update"
    elif state == "BACKOFF":
        assert verb(found) == "restart"
    else:
        assert verb(found) == ("start" if state in ("STOPPED", "EXITED", "FATAL") else "")
    assert is_new(found) == (state != "RUNNING" or anew or bool(differing))


def test_a_port_of_somebody_else_is_a_problem_in_each_state() -> None:
    for state in STATES:
        assert "nc (8) listens on port 5000" in problem(Found(state, foreign={5000: "nc (8)"}), "some_port", "mlflow")
        assert problem(Found(state), "some_port", "mlflow") == ""


# The variables of the artifact store

STORE: dict[str, Any] = {
    "provider": "embedded", "prefix": "artifacts", "port": "29000", "name": "minio", "access_key": "mlflow", "secret_key": "", "admin_secret_key": "",
    "callers": [{}], "path": "", "existing_secret": {}, "ca": "", "is_on_kubernetes": False,
}  # fmt: skip
EXTERNAL = {"provider": "external_s3", "secret_key": "s"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"prefix": "/a"}, "artifact_store_prefix: '/a' starts or ends"),
        ({"prefix": "a/"}, "artifact_store_prefix: 'a/' starts or ends"),
        ({"name": "a-"}, "artifact_store_name: 'a-' is not"),
        ({"port": 65529}, "artifact_store_port: 65529 leaves no room"),
        ({"port": "0"}, "artifact_store_port: 0 leaves no room"),
        ({"provider": "minio", "access_key": "admin"}, "or is its administrator's"),
        ({"provider": "minio", "access_key": "x"}, "artifact_store_access_key: 'x'"),
        ({"provider": "minio", "secret_key": "short"}, "artifact_store_secret_key: the server does not accept"),
        ({"provider": "minio", "admin_secret_key": "with a space"}, "artifact_store_admin_secret_key: the server does not accept"),
        ({"provider": "minio", "callers": []}, "artifact_store_callers: is empty"),
        ({"provider": "folder", "path": "a"}, "artifact_store_path: 'a' is not absolute"),
        ({"provider": "folder", "is_on_kubernetes": True}, "folder is for the embedded server"),
        ({"provider": "external_s3"}, "set one of them, not both"),
        ({**EXTERNAL, "existing_secret": {"name": "x"}, "is_on_kubernetes": True}, "set one of them, not both"),
        ({"provider": "external_s3", "existing_secret": {"name": "x"}}, "has no Kubernetes Secrets"),
        ({**EXTERNAL, "ca": "x"}, "artifact_store_ca: contains no certificate"),
    ],
)
def test_problems_of_the_stores_variables(given: dict[str, Any], says: str) -> None:
    found = artifact_store_problems.problems({**STORE, **given})
    assert len(found) == 1
    assert says in found[0]
    for right in ({}, {"provider": "minio"}, {"provider": "folder", "path": "/a"}, EXTERNAL):
        assert artifact_store_problems.problems({**STORE, **right}) == []


@pytest.mark.parametrize(
    ("inspected", "has_run", "says"),
    [
        ("used", True, ""),
        ("used", False, ""),
        ("empty", False, ""),
        ("absent", False, ""),
        ("filled", False, ""),
        ("absent", True, "'/a' does not exist; mount it"),
        ("empty", True, "'/a' is not a folder that it has used"),
        ("filled", True, "'/a' is not a folder that it has used"),
        ("used unwritable", True, "user 'mlflow' cannot write to '/a'"),
        ("filled unwritable", False, "user 'mlflow' cannot write to '/a'"),
    ],
)
def test_a_folder_that_may_not_be_mounted_is_not_taken(inspected: str, has_run: bool, says: str) -> None:
    found = artifact_store_problems.problem_of_folder(inspected, "/a", {"has_run": has_run, "user": "mlflow"})
    assert says in found
    assert bool(says) == bool(found)
