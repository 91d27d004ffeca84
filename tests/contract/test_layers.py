"""Arrows between the rooms of ``plugins/`` point one way, and only adapters do I/O (docs: design, "The rooms")."""
from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
SDKS = frozenset({"boto3", "botocore", "psycopg2", "yaml"})


@dataclass(frozen=True)
class Room:
    """What the files of a room may import: rooms of this collection, and modules from elsewhere beside the standard library without I/O."""

    rooms: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    does_io: bool = False
    may_try: bool = True


ROOMS = {
    "_core": Room(frozenset({"_core"})),
    "_errors": Room(),
    "_ports": Room(frozenset({"_core"})),
    "_adapters": Room(frozenset({"_adapters", "_errors", "_ports"}), SDKS, does_io=True),
    "_module": Room(frozenset({"_core", "_errors", "_ports"}), frozenset({"ansible.module_utils"})),
    "_kinds": Room(frozenset({"_adapters", "_core", "_ports"})),
    # A connection's options, and the adapter made of them; os is for the environment that names proxies.
    "_tracking": Room(frozenset({"_adapters", "_core"}), frozenset({"ansible.module_utils", "os"})),
    "_postgresql": Room(frozenset({"_adapters", "_core"}), frozenset({"ansible.module_utils"})),
    "_s3": Room(frozenset({"_adapters", "_core"}), frozenset({"ansible.module_utils"})),
    "modules": Room(
        frozenset({"_adapters", "_core", "_kinds", "_module", "_ports", "_postgresql", "_resources", "_s3", "_tracking"}),
        frozenset({"ansible.module_utils"}),
        may_try=False,
    ),
    # The kinds that mlflow_resources knows, and what the modules of those say of their options.
    "_resources": Room(frozenset({"_adapters", "_core", "_errors", "_kinds", "_module", "_ports"}), frozenset({"ansible.module_utils"})),
    "action": Room(
        frozenset({"_core", "_resources"}),
        frozenset({"ansible.errors", "ansible.plugins.action", "ansible.utils.display", "yaml"}),
        does_io=True,
    ),
    # What runs on the control node. The base takes a lookup's options and turns errors into its own; a lookup names one adapter and one rule.
    "plugin_utils": Room(
        frozenset({"_adapters", "_core", "_errors", "_tracking"}),
        frozenset({"ansible.errors", "ansible.plugins.lookup"}),
    ),
    "lookup": Room(frozenset({"_adapters", "_core", "plugin_utils"}), frozenset({"ansible.plugins.lookup"}), may_try=False),
    "doc_fragments": Room(frozenset({"_resources", "modules"}), frozenset({"yaml"})),
}


def room_of(name: str) -> str:
    """The room of a module whose name within ``plugins`` is ``name``."""
    parts = name.split(".")
    return parts[1] if parts[0] == "module_utils" and len(parts) > 1 else parts[0]


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


def import_problem(room: Room, name: str) -> str | None:
    """What is wrong with importing ``name`` in ``room``."""
    if name.startswith("."):
        return f"imports {name} by a relative name"
    if within(name, frozenset({HERE})):
        there = room_of(name[len(HERE) + 1 :])
        return None if there in room.rooms else f"imports the room {there}"
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
    here = room_of(".".join(PurePosixPath(path).with_suffix("").parts))
    if here not in ROOMS:
        return [f"the room {here} has no rule"]
    room, tree = ROOMS[here], ast.parse(source)
    problems = [problem for name in imports(tree) if (problem := import_problem(room, name))]
    return problems + list(code_problems(room, tree))


FILES = sorted(PLUGINS.rglob("*.py"))


def test_there_is_something_to_look_at() -> None:
    assert {room_of(".".join(path.relative_to(PLUGINS).with_suffix("").parts)) for path in FILES} >= {"_core", "_adapters", "_module", "modules"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_a_file_keeps_to_its_room(path: Path) -> None:
    assert violations(path.relative_to(PLUGINS).as_posix(), path.read_text()) == []


UTILS = f"{HERE}.module_utils"


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("module_utils/_core/x.py", "import socket", "imports socket, which does I/O"),
        ("module_utils/_core/x.py", "from http import client", "imports http.client, which does I/O"),
        ("module_utils/_core/x.py", "def f():\n    import os", "imports os, which does I/O"),
        ("module_utils/_core/x.py", "open('x')", "calls open"),
        ("module_utils/_core/x.py", "import yaml", "imports yaml"),
        ("module_utils/_core/x.py", "from ansible.module_utils.basic import AnsibleModule", "imports ansible.module_utils.basic.AnsibleModule"),
        ("module_utils/_core/x.py", f"from {UTILS}._errors import Conflict", "imports the room _errors"),
        ("module_utils/_core/x.py", f"from {UTILS} import _module", "imports the room _module"),
        ("module_utils/_core/x.py", "from . import plan", "imports ..plan by a relative name"),
        ("module_utils/_errors.py", f"from {UTILS}._core.plan import State", "imports the room _core"),
        ("module_utils/_ports.py", f"from {UTILS}._adapters.rest import RestClient", "imports the room _adapters"),
        ("module_utils/_adapters/x.py", f"from {UTILS}._core.plan import State", "imports the room _core"),
        ("module_utils/_adapters/x.py", f"from {UTILS}._module import reconcile", "imports the room _module"),
        ("module_utils/_adapters/x.py", "import mlflow", "imports mlflow"),
        ("module_utils/_adapters/x.py", "from ansible.module_utils.urls import open_url", "imports ansible.module_utils.urls.open_url"),
        ("module_utils/_module.py", f"from {UTILS}._adapters import rest", "imports the room _adapters"),
        ("module_utils/_tracking.py", "import ssl", "imports ssl, which does I/O"),
        ("module_utils/_new.py", "import re", "the room _new has no rule"),
        ("modules/mlflow_x.py", "import boto3", "imports boto3"),
        ("modules/mlflow_x.py", "import http.client", "imports http.client, which does I/O"),
        ("modules/mlflow_x.py", "from mlflow.tracking import MlflowClient", "imports mlflow.tracking.MlflowClient"),
        ("modules/mlflow_x.py", "try:\n    pass\nexcept OSError:\n    pass", "catches an exception"),
        ("modules/mlflow_x.py", f"from {UTILS}._errors import Conflict", "imports the room _errors"),
        ("lookup/x.py", "import socket", "imports socket, which does I/O"),
        ("lookup/x.py", "from ansible.module_utils.urls import open_url", "imports ansible.module_utils.urls.open_url"),
        ("lookup/x.py", "from ansible.errors import AnsibleLookupError", "imports ansible.errors.AnsibleLookupError"),
        ("lookup/x.py", f"from {UTILS} import _module", "imports the room _module"),
        ("lookup/x.py", "try:\n    pass\nexcept OSError:\n    pass", "catches an exception"),
        ("plugin_utils/x.py", "import mlflow", "imports mlflow"),
        ("modules/mlflow_x.py", f"from {HERE}.plugin_utils._lookup import look_up", "imports the room plugin_utils"),
        ("filter/x.py", "import re", "the room filter has no rule"),
    ],
)
def test_the_rule_sees_a_planted_violation(path: str, source: str, found: str) -> None:
    assert violations(path, source) == [found]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("module_utils/_core/x.py", f"import re\nfrom urllib.parse import urlsplit\nfrom {UTILS}._core.plan import State"),
        ("module_utils/_adapters/x.py", f"import http.client, socket, ssl, boto3, psycopg2\nfrom {UTILS}._errors import Conflict\nopen('x')"),
        ("modules/mlflow_x.py", f"from {UTILS} import _module\nfrom {UTILS}._core import plan\nfrom ansible.module_utils.basic import AnsibleModule"),
    ],
)
def test_the_rule_lets_pass_what_is_right(path: str, source: str) -> None:
    assert violations(path, source) == []
