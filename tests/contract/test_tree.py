"""The structure of the repository: what is declared in two places agrees, and files that belong together exist."""
from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.mlops.mlflow.plugins.module_utils._role_variables import PUBLISHED

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for name in subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    if name and (path := ROOT / name).is_file()
)
MODULES = sorted((ROOT / "plugins" / "modules").glob("*.py"))
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
GROUP = "mlops.mlflow.mlflow"
#: The modules of MLflow and of what it stands on. Those of Kubernetes have connections, and tests, of another kind.
GROUPED = [path for path in MODULES if path.stem.startswith("mlflow_")]


def names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def constants(path: Path) -> dict[str, Any]:
    """The texts that a module or fragment assigns at its top or in its class, as YAML."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = yaml.safe_load(str(node.value.value))
    return found


def test_there_is_something_to_look_at() -> None:
    assert GROUPED
    assert ROLES
    assert len(FILES) > len(MODULES) + len(ROLES)


# Roles


def is_template(value: Any) -> bool:
    return "{{" in str(value) or "{%" in str(value)


def role_problems(options: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """Where the documented options of a role and its defaults differ."""
    found = [f"{name} is not documented" for name in sorted(defaults.keys() - options.keys())]
    for name, option in options.items():
        if name not in defaults:
            if "default" in option or not (option.get("required") or name in PUBLISHED):
                found.append(f"{name} is neither required nor among the defaults")
        elif is_template(defaults[name]):
            if "default" in option:
                found.append(f"{name} is worked out, so its documentation says how and names no default")
        elif "default" not in option or option["default"] != defaults[name] or type(option["default"]) is not type(defaults[name]):
            found.append(f"{name} is {defaults[name]!r} and documented as {option.get('default')!r}")
    return found


@pytest.mark.parametrize("role", ROLES, ids=names(ROLES))
def test_the_defaults_of_a_role_are_those_documented(role: Path) -> None:
    entries = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    path = role / "defaults" / "main.yml"
    defaults = (load(path) or {}) if path.exists() else {}
    # Other entry points have options that are given by whoever includes them.
    others = {name: option for entry in entries.values() for name, option in (entry.get("options") or {}).items() if name in defaults}
    assert role_problems(others | (entries["main"].get("options") or {}), defaults) == []


@pytest.mark.parametrize(
    ("options", "defaults"),
    [
        ({}, {"a": 1}),
        ({"a": {"default": 1}}, {}),
        ({"a": {}}, {}),
        ({"a": {"default": 1}}, {"a": 2}),
        ({"a": {"default": 1}}, {"a": True}),
        ({"a": {"default": "1"}}, {"a": 1}),
        ({"a": {}}, {"a": 1}),
        ({"a": {"default": "x"}}, {"a": "{{ b }}"}),
    ],
)
def test_a_planted_difference_of_a_role_is_seen(options: dict[str, Any], defaults: dict[str, Any]) -> None:
    assert len(role_problems(options, defaults)) == 1
    assert role_problems({"a": {"default": 1}, "b": {"required": True}, "c": {}, "kubernetes_runtime": {}}, {"a": 1, "c": "{{ a }}"}) == []


def lost_escapes(text: str) -> list[int]:
    """The lines of a YAML text where an escape for a line end or a tab stands in Jinja, and neither YAML nor Ansible resolves it."""
    written = re.compile(r"""'[^']*\\[nrt][^']*'|"[^"]*\\[nrt][^"]*\"""")
    return [
        node.start_mark.line + 1
        for node in scalars(yaml.compose(text, Loader=yaml.SafeLoader))
        if node.style != '"' and any(written.search(expression) for expression in re.findall(r"\{[{%].*?[%}]\}", node.value, re.S))
    ]


def scalars(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """All scalars below a node of YAML."""
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                yield from scalars(part)


def test_no_line_end_is_lost_in_a_folded_scalar() -> None:
    places = {"roles", "playbooks", "inventories", "molecule"}
    paths = [path for path in FILES if path.suffix == ".yml" and path.relative_to(ROOT).parts[0] in places]
    assert len(paths) > 50
    assert {str(path.relative_to(ROOT)): lines for path in paths if (lines := lost_escapes(path.read_text()))} == {}


@pytest.mark.parametrize("style", [">-\n  {}", "|\n  {}", "{}", "\n  - b: {}"])
def test_a_planted_line_end_in_a_folded_scalar_is_seen(style: str) -> None:
    expression = "x {{ ['a', 'b'] | join('\\n') }}"
    assert lost_escapes("a: " + style.format(expression)) != []
    assert lost_escapes(f'a: "{expression}"') == lost_escapes("a: >-\n  tr -d '\\n' {{ b }} | sed 's/\\n/x/'") == []


# Modules


def test_the_action_group_is_the_list_of_modules() -> None:
    assert load(ROOT / "meta" / "runtime.yml")["action_groups"] == {"mlflow": names(GROUPED)}


def test_the_fragment_names_the_group() -> None:
    fragment = constants(ROOT / "plugins" / "doc_fragments" / "attributes.py")
    assert fragment["ACTION_GROUP"]["attributes"]["action_group"]["membership"] == [GROUP]


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_a_module_is_documented(path: Path) -> None:
    texts = constants(path)
    assert texts["DOCUMENTATION"]["module"] == path.stem
    changes_nothing = path.stem.endswith("_info") or path.stem in ("check_role_variables", "print_lines")
    attributes = "mlops.mlflow.attributes" + (".info" if changes_nothing else "")
    wanted = {attributes, "mlops.mlflow.attributes.action_group"} if path in GROUPED else {attributes}
    assert wanted <= set(texts["DOCUMENTATION"]["extends_documentation_fragment"])
    assert all("sample" in value or "contains" in value for value in texts["RETURN"].values())


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_the_examples_of_a_module_name_it_in_full(path: Path) -> None:
    tasks = constants(path)["EXAMPLES"]
    assert tasks
    keywords = set("name register when loop vars delegate_to run_once environment no_log module_defaults notify until retries delay".split())
    actions = [[key for key in task if key not in keywords] for task in tasks]
    assert all(len(action) == 1 and action[0].count(".") >= 2 for action in actions), actions
    assert [f"mlops.mlflow.{path.stem}"] in actions
    assert all(task.get("name") for task in tasks)


def tables(path: Path) -> list[str]:
    """The modules whose twelve steps a test file declares, each as a text or by a constant of the file."""
    tree = ast.parse(path.read_text())
    texts = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Table"]
    given = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "module"]
    return [str(node.value if isinstance(node, ast.Constant) else texts[ast.unparse(node)]) for node in given]


def test_every_module_that_writes_has_a_table_of_twelve_steps() -> None:
    declared = {module for path in sorted((ROOT / "tests" / "integration").glob("test_*.py")) for module in tables(path)}
    assert declared == {name for name in names(GROUPED) if not name.endswith("_info")}


# The tree


def test_the_root_is_easy_to_overlook() -> None:
    visible = {name for path in FILES if not (name := path.relative_to(ROOT).parts[0]).startswith(".")}
    assert len(visible) <= 20, sorted(visible)


def test_no_source_file_is_long() -> None:
    """Argument specs may be long: they are a list of options, which Ansible reads from one file."""
    rooms = {"plugins", "roles", "src"}
    long = {
        str(path.relative_to(ROOT)): lines
        for path in FILES
        if path.relative_to(ROOT).parts[0] in rooms and path.suffix in {".py", ".yml", ".j2"} and path.name != "argument_specs.yml"
        if (lines := path.read_text().count("\n")) > 400
    }
    assert long == {}


def programs(value: Any) -> list[str]:
    """Return the texts in a role's variables that are programs: templates with statements, and commands with pipes or lists for a shell."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in programs(each)]
    if isinstance(value, list):
        return [text for each in value for text in programs(each)]
    is_program = isinstance(value, str) and not value.startswith("#") and re.search(r"{%|&&|\|\||;\s", re.sub(r"{{.*?}}", "", value, flags=re.S))
    return [value] if is_program else []


@pytest.mark.parametrize("role", ROLES, ids=names(ROLES))
def test_the_variables_of_a_role_are_few_and_no_program(role: Path) -> None:
    """What is decided is Python, and what is run is a file."""
    for path in role.glob("vars/**/*.yml"):
        assert path.read_text().count("\n") <= 60
        assert programs(load(path)) == []


@pytest.mark.parametrize("planted", ["{% if x %}y{% endif %}", "initdb && mv a b", "test -e x || true", "cd x; ls"])
def test_a_planted_program_is_seen(planted: str) -> None:
    assert programs({"__x": [{"y": planted}]}) == [planted]


def machine_paths(text: str, places: set[str]) -> list[str]:
    """Return the lines of ``text`` with a path of one machine."""
    pattern = re.compile(rf"(?<![\w.~}}/-])({'|'.join(re.escape(place) for place in sorted(places))})(?![\w-])")
    return [line for line in text.splitlines() if pattern.search(line)]


def test_no_file_names_a_place_of_one_machine() -> None:
    places = {"/ro" + "ot", "/wo" + "rk", str(ROOT), *(str(home) for home in [Path.home()] if len(home.parts) > 2)}
    assert machine_paths("see " + "/ro" + "ot/x", places)
    assert not machine_paths("a/ro" + "ot/x", places)
    found = {}
    for path in FILES:
        try:
            lines = machine_paths(path.read_text(), places)
        except UnicodeDecodeError:
            continue
        if lines:
            found[str(path.relative_to(ROOT))] = lines
    assert found == {}
