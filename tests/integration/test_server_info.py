"""mlflow_server_info against real servers, and against what is none."""
from __future__ import annotations

import subprocess
from pathlib import Path

import loopback
import pytest
from harness import ModuleRunner, Stack
from tracking_servers import Flavour, Server, Servers

MODULE = "mlflow_server_info"
#: What Alembic itself, which takes a second and a half of CPU, says of the migrations that schema.py reads as files.
SCHEMAS = """
import sys
from importlib.util import find_spec
from pathlib import Path

from alembic.script import ScriptDirectory

sys.path.insert(0, sys.argv[1])
import schema

for place in ("store/db_migrations", "server/auth/db/migrations"):
    alembic = ScriptDirectory(str(Path(find_spec("mlflow").origin).parent / place))
    read = schema.Schema("postgresql://user@host/name", f"{place}/versions", "alembic_version", ()).known_revisions()
    assert read == ({each.revision for each in alembic.walk_revisions()}, alembic.get_current_head()), place
"""


def test_the_revisions_that_are_read_from_files_are_those_of_alembic(stack: Stack) -> None:
    files = Path(__file__).parents[2] / "roles" / "mlflow_server" / "files"
    subprocess.run([stack.python, "-c", SCHEMAS, str(files)], check=True)


def test_each_server(any_server: Server) -> None:
    flavour, server = any_server.flavour, any_server.run.succeed(MODULE)["server"]
    old = flavour.version.startswith("2.")
    assert (server["version"], server["healthy"], server["ready"], server["problem"]) == (flavour.version, True, True, "")
    assert (server["authenticated"], server["authentication"]) == (True, "basic" if flavour.auth else "none")
    assert server["username"] == (any_server.stack.tracking_username if flavour.auth and not old else None)
    features = {name: server["features"][name] for name in ("aliases", "prompts", "logged_models", "webhooks", "roles", "workspaces")}
    assert features == {
        "aliases": True,
        "prompts": True,
        "logged_models": not old,
        "webhooks": not old,
        "roles": flavour.auth and not old,
        "workspaces": False,
    }


def test_a_wrong_password_is_a_fact(servers: Servers) -> None:
    run = servers(Flavour("3.17.2", "sqlite", auth=True, workspaces=True)).run
    result = run(MODULE, {}, env={"MLFLOW_TRACKING_PASSWORD": "not the password"})
    server = result["server"]
    assert not result.get("failed")
    assert (server["healthy"], server["authenticated"], server["authentication"], server["version"]) == (True, False, "unknown", None)
    assert (server["features"]["workspaces"], server["features"]["webhooks"]) == (True, None)
    assert "refused the credentials (401)" in server["problem"]
    assert "not the password" not in result["_output"]


def test_a_database_that_is_gone(run: ModuleRunner) -> None:
    # What MLflow answers while its database is down (3.17.2, PostgreSQL stopped).
    down = loopback.error(503, "TEMPORARILY_UNAVAILABLE")
    up = [loopback.reply(200, "OK", "text/plain"), loopback.reply(200, {"workspaces_enabled": False}), loopback.reply(200, "3.17.2", "text/plain")]
    with loopback.Server([*up, down]).running() as server:
        found = run.succeed(MODULE, tracking_uri=f"http://127.0.0.1:{server.port}", retries=0)["server"]
    assert (found["version"], found["healthy"], found["ready"], found["authenticated"]) == ("3.17.2", True, False, True)
    assert "503 TEMPORARILY_UNAVAILABLE" in found["problem"]


PAGE = "<html>Not MLflow</html>"


@pytest.mark.parametrize("page", [(404, PAGE, "text/html"), (502, PAGE, "text/html")])
def test_what_is_no_server(run: ModuleRunner, page: tuple[int, str, str]) -> None:
    with loopback.Server([loopback.reply(*page)]).running() as other:
        message = run.fail(MODULE, tracking_uri=f"http://127.0.0.1:{other.port}", retries=0)
    assert "check" in message
    assert "Connection refused" in run.fail(MODULE, tracking_uri="http://127.0.0.1:9", retries=0)
