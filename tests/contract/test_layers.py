"""Dependencies within ``plugins/`` go one way, and only adapters do I/O."""
from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
HERE = "ansible_collections.mlops.mlflow.plugins"
#: Modules that reach beyond the process. What is inside one of these is meant too.
IO = frozenset(
    "asyncio boto3 botocore ftplib http io os multiprocessing pathlib psycopg psycopg2 requests select selectors shutil socket socketserver "
    "sqlite3 ssl subprocess tempfile threading urllib.request urllib3".split()
)
SDKS = frozenset({"boto3", "botocore", "psycopg2"})
ANSIBLE = frozenset({"ansible.module_utils"})
#: The folders of what is known of one kind of server. None knows another.
SERVERS = ("_keycloak", "_kubernetes", "_mlflow", "_postgresql", "_s3")


@dataclass(frozen=True)
class Room:
    """What the files of a room may import: rooms of this collection, and modules from elsewhere beside the standard library without I/O."""

    rooms: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    does_io: bool = False
    may_try: bool = True


def rooms(names: str) -> frozenset[str]:
    """The rooms that are named."""
    return frozenset(names.split())


#: The room of a file within ``plugins``, by the first pattern that it matches.
PLACES = (
    ("module_utils/_errors", "errors"),
    ("module_utils/_options", "options"),
    ("module_utils/_module", "module"),
    ("module_utils/_role_variables", "rules"),
    ("module_utils/_deployment/*", "decisions"),
    ("module_utils/_embedded/*", "embedded"),
    *((f"module_utils/_reconcile/{name}", "plan") for name in ("plan", "kind", "declaration")),
    ("module_utils/_reconcile/*", "engine"),
    ("module_utils/_mlflow/kinds", "kinds"),
    ("module_utils/_mlflow/module", "kind_module"),
    *((f"module_utils/{server}/connection", "connection") for server in SERVERS),
    *((f"module_utils/{server}/*adapter", "adapters") for server in SERVERS),
    *((f"module_utils/_mlflow/{name}", "adapters") for name in ("accounts", "gateway", "model_registry", "permission_targets", "responses", "rest")),
    ("module_utils/_postgresql/session", "adapters"),
    ("module_utils/_s3/client", "adapters"),
    ("module_utils/_s3/bucket/contents", "adapters"),
    ("module_utils/_kubernetes/cluster", "adapters"),
    ("module_utils/_kubernetes/overview", "adapters"),
    ("module_utils/_kubernetes/owned_objects", "adapters"),
    *((f"module_utils/{server}/*", "rules") for server in SERVERS),
    *((f"{folder}/*", folder) for folder in ("action", "doc_fragments", "filter", "lookup", "modules", "plugin_utils")),
)
ROOMS = {
    "errors": Room(),
    "options": Room(),
    # What the engine and the kinds agree on.
    "plan": Room(rooms("options plan")),
    "rules": Room(rooms("options plan rules")),
    # What the roles decide: variables in, decisions out.
    "decisions": Room(rooms("decisions options rules")),
    "filter": Room(rooms("decisions options rules"), frozenset({"ansible.errors"})),
    # The hands of the embedded stack on its host.
    "embedded": Room(rooms("decisions embedded"), does_io=True),
    "adapters": Room(rooms("adapters errors plan rules"), SDKS, does_io=True),
    # The registry of kinds.
    "kinds": Room(rooms("adapters plan")),
    # The options of a connection, and the client made of them; os is for the environment that names proxies.
    "connection": Room(rooms("adapters options rules"), ANSIBLE | {"os"}),
    "engine": Room(rooms("engine errors options plan"), ANSIBLE | {"threading"}),
    "module": Room(rooms("engine errors options plan"), ANSIBLE),
    "kind_module": Room(rooms("connection module plan")),
    "modules": Room(
        rooms("adapters connection decisions embedded engine kind_module kinds module options plan rules"), ANSIBLE, may_try=False
    ),
    "action": Room(
        rooms("decisions kinds options plan plugin_utils rules"),
        ANSIBLE | frozenset({"ansible.errors", "ansible.plugins.action", "ansible.utils.display", "yaml"}),
        does_io=True,
    ),
    # What runs on the control node. The base takes a lookup's options and turns errors into its own; a lookup names one adapter and one rule.
    "plugin_utils": Room(rooms("adapters connection errors options rules"), frozenset({"ansible.errors", "ansible.plugins.lookup"})),
    "lookup": Room(rooms("adapters plugin_utils rules"), frozenset({"ansible.plugins.lookup"}), may_try=False),
    "doc_fragments": Room(rooms("kinds modules"), frozenset({"yaml"})),
}


def room_of(name: str) -> str | None:
    """The room of a module whose name within ``plugins`` is ``name``, with dots or slashes; None if there is none."""
    path = name.replace(".", "/")
    return next((room for pattern, room in PLACES if fnmatch(path, pattern)), None)


def server_of(name: str) -> str | None:
    """The kind of server that the module ``name`` is about; None if it is about no particular one."""
    parts = name.replace(".", "/").split("/")
    return parts[1] if parts[0] == "module_utils" and len(parts) > 1 and parts[1] in SERVERS else None


def imports(tree: ast.AST) -> Iterator[str]:
    """The full name of everything that is imported, anywhere in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def within(name: str, modules: frozenset[str]) -> bool:
    """Whether ``name`` is one of ``modules`` or lies inside one."""
    return any(name == module or name.startswith(module + ".") for module in modules)


def module_named(name: str) -> str:
    """The module of this collection that the import ``name`` is of, without ``HERE``: the longest part of it that is a file."""
    parts = name.split(".")
    return next((".".join(parts[:end]) for end in range(len(parts), 0, -1) if (PLUGINS / "/".join(parts[:end])).with_suffix(".py").exists()), name)


def import_problem(here: str, room: Room, name: str) -> str | None:
    """What is wrong with importing ``name`` in the module ``here``, which is in ``room``."""
    if name.startswith("."):
        return f"imports {name} by a relative name"
    if within(name, frozenset({HERE})):
        there = module_named(name[len(HERE) + 1 :])
        if room_of(there) not in room.rooms:
            return f"imports the room {room_of(there)}"
        if server_of(here) and server_of(there) not in (None, server_of(here)):
            return f"imports {server_of(there)}, another server"
        return None
    if within(name, room.others):
        return None
    if name.partition(".")[0] not in sys.stdlib_module_names:
        return f"imports {name}"
    return f"imports {name}, which does I/O" if within(name, IO) and not room.does_io else None


def code_problems(room: Room, tree: ast.AST) -> Iterator[str]:
    """What a file of ``room`` does beside importing that it must not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and not room.may_try:
            yield "catches an exception"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "print", "__import__") and not room.does_io:
            yield f"calls {node.func.id}"


def violations(path: str, source: str) -> list[str]:
    """What the file at ``path`` within ``plugins`` does against the rule."""
    here = PurePosixPath(path).with_suffix("").as_posix()
    name = room_of(here)
    if name is None:
        return [f"{here} has no room"]
    room, tree = ROOMS[name], ast.parse(source)
    problems = [problem for name in imports(tree) if (problem := import_problem(here, room, name))]
    return problems + list(code_problems(room, tree))


FILES = sorted(PLUGINS.rglob("*.py"))


def test_there_is_something_to_look_at() -> None:
    found = {room_of(path.relative_to(PLUGINS).with_suffix("").as_posix()) for path in FILES}
    assert found >= {"adapters", "connection", "engine", "kinds", "modules", "plan", "rules"}


def test_each_pattern_has_a_file() -> None:
    """Except those for which there may be none yet."""
    names = [path.relative_to(PLUGINS).with_suffix("").as_posix() for path in FILES]
    idle = {pattern for pattern, _room in PLACES if not any(fnmatch(name, pattern) for name in names)}
    empty = {"module_utils/_deployment/*", "module_utils/_embedded/*", "filter/*"}
    assert idle <= {*empty, "module_utils/_kubernetes/*adapter", "module_utils/_kubernetes/connection", "module_utils/_keycloak/connection"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_a_file_keeps_to_its_room(path: Path) -> None:
    assert violations(path.relative_to(PLUGINS).as_posix(), path.read_text()) == []


UTILS = f"{HERE}.module_utils"
RULES = "module_utils/_mlflow/x/rules.py"
ADAPTER = "module_utils/_mlflow/x/adapter.py"


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        (RULES, "import socket", "imports socket, which does I/O"),
        (RULES, "from http import client", "imports http.client, which does I/O"),
        (RULES, "def f():\n    import os", "imports os, which does I/O"),
        (RULES, "open('x')", "calls open"),
        (RULES, "import yaml", "imports yaml"),
        (RULES, "from ansible.module_utils.basic import AnsibleModule", "imports ansible.module_utils.basic.AnsibleModule"),
        (RULES, f"from {UTILS}._errors import Conflict", "imports the room errors"),
        (RULES, f"from {UTILS} import _module", "imports the room module"),
        (RULES, f"from {UTILS}._mlflow.rest import RestClient", "imports the room adapters"),
        (RULES, f"from {UTILS}._mlflow.user import adapter", "imports the room adapters"),
        (RULES, f"from {UTILS}._s3.bucket import policy", "imports _s3, another server"),
        (RULES, "from . import plan", "imports ..plan by a relative name"),
        ("module_utils/_mlflow/x.py", "import socket", "imports socket, which does I/O"),
        ("module_utils/_kubernetes/x.py", f"from {UTILS}._kubernetes.cluster import Cluster", "imports the room adapters"),
        ("module_utils/_deployment/x.py", f"from {UTILS}._mlflow.rest import RestClient", "imports the room adapters"),
        ("module_utils/_deployment/x.py", "import os", "imports os, which does I/O"),
        ("module_utils/_deployment/x.py", f"from {UTILS}._embedded import files", "imports the room embedded"),
        ("module_utils/_embedded/x.py", f"from {UTILS}._mlflow.rest import RestClient", "imports the room adapters"),
        ("module_utils/_errors.py", f"from {UTILS}._reconcile.plan import State", "imports the room plan"),
        ("module_utils/_reconcile/kind.py", f"from {UTILS}._mlflow.rest import RestClient", "imports the room adapters"),
        ("module_utils/_reconcile/x.py", f"from {UTILS}._mlflow.rest import RestClient", "imports the room adapters"),
        ("module_utils/_reconcile/x.py", f"from {UTILS}._mlflow.user import rules", "imports the room rules"),
        ("module_utils/_reconcile/x.py", f"from {UTILS}._mlflow.kinds import KINDS", "imports the room kinds"),
        (ADAPTER, f"from {UTILS}._options import InvalidOption", "imports the room options"),
        (ADAPTER, f"from {UTILS}._module import Module", "imports the room module"),
        (ADAPTER, f"from {UTILS}._postgresql.session import Server", "imports _postgresql, another server"),
        (ADAPTER, "import mlflow", "imports mlflow"),
        (ADAPTER, "from ansible.module_utils.urls import open_url", "imports ansible.module_utils.urls.open_url"),
        ("module_utils/_module.py", f"from {UTILS}._mlflow import rest", "imports the room adapters"),
        ("module_utils/_mlflow/connection.py", "import ssl", "imports ssl, which does I/O"),
        ("module_utils/_new.py", "import re", "module_utils/_new has no room"),
        ("modules/mlflow_x.py", "import boto3", "imports boto3"),
        ("modules/mlflow_x.py", "import http.client", "imports http.client, which does I/O"),
        ("modules/mlflow_x.py", "from mlflow.tracking import MlflowClient", "imports mlflow.tracking.MlflowClient"),
        ("modules/mlflow_x.py", "try:\n    pass\nexcept OSError:\n    pass", "catches an exception"),
        ("modules/mlflow_x.py", f"from {UTILS}._errors import Conflict", "imports the room errors"),
        ("lookup/x.py", "import socket", "imports socket, which does I/O"),
        ("lookup/x.py", "from ansible.module_utils.urls import open_url", "imports ansible.module_utils.urls.open_url"),
        ("lookup/x.py", "from ansible.errors import AnsibleLookupError", "imports ansible.errors.AnsibleLookupError"),
        ("lookup/x.py", f"from {UTILS} import _module", "imports the room module"),
        ("lookup/x.py", "try:\n    pass\nexcept OSError:\n    pass", "catches an exception"),
        ("plugin_utils/x.py", "import mlflow", "imports mlflow"),
        ("modules/mlflow_x.py", f"from {HERE}.plugin_utils._mlflow_lookup import look_up", "imports the room plugin_utils"),
        ("filter/x.py", f"from {UTILS}._mlflow.rest import RestClient", "imports the room adapters"),
        ("vars/x.py", "import re", "vars/x has no room"),
    ],
)
def test_the_rule_sees_a_planted_violation(path: str, source: str, found: str) -> None:
    assert violations(path, source) == [found]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (RULES, f"import re\nfrom urllib.parse import urlsplit\nfrom {UTILS}._reconcile.plan import State\nfrom {UTILS}._mlflow import tags"),
        (ADAPTER, f"import http.client, socket, ssl, boto3, psycopg2\nfrom {UTILS}._errors import Conflict\nopen('x')"),
        (ADAPTER, f"from {UTILS}._mlflow.user import rules\nfrom {UTILS}._reconcile.kind import Kind"),
        ("modules/mlflow_x.py", f"from {UTILS} import _module\nfrom {UTILS}._reconcile import plan\nfrom ansible.module_utils import basic"),
        ("module_utils/_deployment/x.py", f"from {UTILS}._options import InvalidOption\nfrom {UTILS}._kubernetes import ownership"),
    ],
)
def test_the_rule_lets_pass_what_is_right(path: str, source: str) -> None:
    assert violations(path, source) == []
