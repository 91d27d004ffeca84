"""What can be rotated, and how the files of a stack change, without a server."""
from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import rotation
from rotation_rows import RotationError

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import rotation as decisions
from roles import Role

OWN: dict[str, Any] = {
    "variables": {"mlflow_rotation_runtime": "embedded", "mlflow_rotation_keys": ["all"]},
    "place": {"home": "/s"},
    "embedded": {"verified": "d", "has_new_packages": False},
    "postgresql": {
        "host": "127.0.0.1", "port": 25432, "database": "mlflow", "user": "mlflow", "environment": {},
        "secret_environment": {"PGPASSWORD": {"file": "/s/secrets/postgresql_password"}},
    },
    "artifact_store": {"secret_environment": {"AWS_SECRET_ACCESS_KEY": {"file": "/s/secrets/artifact_store_secret_key"}}},
    "endpoint": {"username": "admin", "deployment": "d", "uri": "http://127.0.0.1:5000"},
    "resumes": False, "check_mode": False, "reason": "",
}  # fmt: skip
EXTERNAL = {**OWN["postgresql"], "secret_environment": {"PGPASSWORD": {"file": "/s/secrets/postgresql_external_password"}}}
FOLDER: dict[str, Any] = {"secret_environment": {}}
OPEN = {**OWN["endpoint"], "username": ""}


def given(*keys: str, **changes: Any) -> dict[str, Any]:
    return {**OWN, "variables": {"mlflow_rotation_runtime": "embedded", "mlflow_rotation_keys": list(keys)}, **changes}


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ([], "rotate: names nothing to rotate; set it to database_password, s3_keys, admin_password, flask_key, webhook_key, kek or all, such as"),
        (["kek", "keks"], "rotate: 'keks' is nothing that can be rotated; set it to database_password, s3_keys, "),
        (["all", "kek"], ""),
    ],
)
def test_what_cannot_be_rotated_is_refused_with_what_can(keys: list[str], says: str) -> None:
    found = decisions.problems(given(*keys))
    assert [text[: len(says)] for text in found] == ([says] if says else [])


def test_a_server_in_a_cluster_has_more_to_rotate() -> None:
    for runtime, count in (("kubernetes", 0), ("embedded", 1)):
        variables = {"mlflow_rotation_runtime": runtime, "mlflow_rotation_keys": ["cookie_secret"]}
        assert len(decisions.problems({**OWN, "variables": variables})) == count


@pytest.mark.parametrize(
    ("key", "changes", "says"),
    [
        ("s3_keys", {"artifact_store": FOLDER}, "there is no s3_keys to rotate, since the artifacts are in a folder, which has no keys"),
        (
            "s3_keys",
            {"artifact_store": {"secret_environment": {"AWS_SECRET_ACCESS_KEY": {"file": "/s/secrets/artifact_store_external_secret_key"}}}},
            "since the S3 server is not the stack's own; make a second key there",
        ),
        ("database_password", {"postgresql": EXTERNAL}, "since PostgreSQL is not the stack's own; change it there and in postgresql_password"),
        ("admin_password", {"endpoint": OPEN}, "since the server takes requests without a password (mlflow_server_auth)"),
        ("flask_key", {"endpoint": OPEN}, "since the server takes requests without a password (mlflow_server_auth)"),
        ("kek", {"embedded": {"verified": "other"}}, "the stack is not as these variables describe it, or does not run (its files are not"),
        ("kek", {"embedded": {"verified": ""}, "endpoint": {**OPEN, "deployment": ""}}, "rotate: the stack is not as these variables describe it"),
        ("kek", {"embedded": {"verified": "d", "has_new_packages": True}}, "rotate: the stack is not as these variables describe it"),
    ],
)
def test_what_a_stack_does_not_have_or_is_not_is_refused(key: str, changes: dict[str, Any], says: str) -> None:
    assert decisions.obstacle(given(key)) == ""
    assert says in decisions.obstacle(given(key, **changes))
    assert decisions.obstacle(given("all", **changes)) == "" or "as these variables" in says


def test_all_is_what_the_stack_has() -> None:
    assert list(decisions.settings(OWN)["wanted"]) == list(decisions.KEYS)
    least = decisions.settings(given("all", postgresql=EXTERNAL, artifact_store=FOLDER, endpoint=OPEN))
    assert least["wanted"] == {"webhook_key": ["mlflow_webhook_key"], "kek": ["mlflow_crypto_passphrase"]}
    # Its own superuser changes the stack's PostgreSQL, and MLflow's role another one.
    assert (decisions.settings(OWN)["database"]["user"], least["database"]["user"]) == ("postgres", "mlflow")
    assert decisions.settings(OWN)["database"]["secret"] == "postgresql_admin_password"
    assert least["database"]["secret"] == "postgresql_external_password"


def test_what_was_interrupted_needs_nothing_that_is_known_of_the_stack() -> None:
    interrupted = decisions.settings({**given("kek"), "postgresql": {}, "endpoint": {}, "resumes": True, "check_mode": True})
    assert interrupted == {"home": "/s", "check": True, "resume": True, "rotate": ["kek"]}


def test_the_role_gives_the_program_what_it_reads() -> None:
    published = {"embedded_place": OWN["place"], "embedded_runtime": OWN["embedded"], "mlflow_server_endpoint": OWN["endpoint"]}
    connections = {f"{name}_connection": OWN[name] for name in ("postgresql", "artifact_store")}
    role = Role("mlflow_rotation", groups={}, ansible_check_mode=False, mlflow_rotation_keys=["all"], **published, **connections)
    request = role.said("__mlflow_rotation_request")
    assert request["settings"] == decisions.settings(OWN)
    assert set(request["programs"]) == {"backup_lock", "rotation", "rotation_rows"}


# The program


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "mlflow").mkdir()
    names = [name for each in decisions.KEYS.values() for name in each]
    for name in names:
        (tmp_path / "secrets" / name).write_text(f"old-{name}")
    marks = "".join(f"# {name}: {hashlib.sha256(name.encode()).hexdigest()}\n" for name in ("mlflow_webhook_key", "mlflow_crypto_passphrase"))
    (tmp_path / "mlflow/server.env").write_text(f"# Written by a role\n{marks}MLFLOW_CRYPTO_KEK_PASSPHRASE=old-mlflow_crypto_passphrase\n")
    return tmp_path


def note(*names: str) -> rotation.Note:
    return {"rotates": ["admin_password"], "values": {name: f"new-{name}" for name in names}, "database": {}}


def test_the_files_change_and_steps_may_be_done_again(home: Path) -> None:
    names = ("mlflow_admin_password", "mlflow_webhook_key")
    (home / rotation.NOTE).write_text(json.dumps(note(*names)))
    for step in (rotation.write_secrets, rotation.unmark, rotation.write_secrets, rotation.unmark):
        step(home, rotation.read(home))
    assert rotation.secret(home, "mlflow_admin_password") == "new-mlflow_admin_password"
    assert rotation.secret(home, "postgresql_password") == "old-postgresql_password"
    lines = (home / "mlflow/server.env").read_text().splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "# Written by a role", "# mlflow_crypto_passphrase", "MLFLOW_CRYPTO_KEK_PASSPHRASE=old-mlflow_crypto_passphrase",
    ]  # fmt: skip
    rotation.finish(home, rotation.read(home))
    assert rotation.read(home) == {"rotates": ["admin_password"], "database": {}}
    written = (home / rotation.NOTE, home / "mlflow/server.env", home / "secrets/mlflow_webhook_key")
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}


def test_a_rotation_that_was_interrupted_is_finished_and_no_other_is_begun(home: Path) -> None:
    (home / rotation.NOTE).write_text(json.dumps(note("mlflow_admin_password")))
    settings = {"home": str(home), "check": True, "resume": True, "rotate": ["kek", "admin_password"]}
    told = ["Would rotate: admin_password", "A rotation was interrupted, and is finished first", "Run this again for kek"]
    assert rotation.rotate(settings) == {"changed": True, "lines": told}
    assert rotation.secret(home, "mlflow_admin_password") == "old-mlflow_admin_password"
    assert rotation.rotate({**settings, "check": False})["changed"]
    assert rotation.secret(home, "mlflow_admin_password") == "new-mlflow_admin_password"
    # Its deployment was interrupted, too.
    assert not rotation.rotate({**settings, "check": False})["changed"]
    assert rotation.secret(home, "mlflow_crypto_passphrase") == "old-mlflow_crypto_passphrase"
    rotation.write(home / rotation.NOTE, "{}")
    with pytest.raises(RotationError, match="another run has ended the rotation meanwhile"):
        rotation.rotate(settings)


def test_nothing_begins_while_mlflow_does_not_answer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {"flask_key": ["mlflow_flask_secret_key"]}
    settings = {"home": str(home), "check": False, "resume": False, "rotate": ["flask_key"], "wanted": wanted, "database": {}}
    settings["uri"] = "http://127.0.0.1:1"
    assert rotation.main(settings) == 1
    assert capsys.readouterr().err.startswith("rotate: MLflow does not answer at http://127.0.0.1:1 (")
    assert not (home / rotation.NOTE).exists()
