"""Write what follows from the documentation of modules and roles, and from the registry of kinds: ``make docs``.

The action group, the table of modules in README.md, what info modules return, the reference of a declaration, the checks of the embedded stack, and
README.md and meta/main.yml of each role.
"""
from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.mlops.mlflow.plugins.doc_fragments.resources import ModuleDocFragment
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import cluster_diagnosis, embedded_diagnosis
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.diagnosis import runbook
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.kinds import KINDS

ROOT = Path(__file__).resolve().parent.parent
ROLES = sorted(path.parents[1] for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
MODULES = ROOT / "plugins" / "modules"
REFERENCE = ROOT / "docs" / "declaration.md"
MARK = "<!-- What follows is written by `make docs`. -->\n"
#: The checks of an embedded stack, and of a deployment in a cluster.
RUNBOOKS = {ROOT / "docs" / "diagnose.md": embedded_diagnosis.CHECKS, ROOT / "docs" / "diagnose-cluster.md": cluster_diagnosis.CHECKS}
RUNBOOK_MARK = "<!-- What follows is written by `make docs` from the checks. -->"
#: The table of modules in README.md ends with an empty line.
TABLE = "<!-- This table is written by `make docs`. -->\n"
#: The modules that are about no kind of a declaration: what the others stand on, and what only reads.
BEFORE, AFTER = ("mlflow_resources", "mlflow_database", "mlflow_bucket"), ("mlflow_server_info", "mlflow_run_info")


def paragraphs(described: str | list[str]) -> list[str]:
    r"""Ansible's markup as Markdown's.

    >>> paragraphs("With V(absent), see O(tags[].x) and M(a.b.c). E(HOME), C(x|y), U(https://example.com)")
    ['With `absent`, see `tags[].x` and `a.b.c`. `HOME`, `x|y`, <https://example.com>']
    """
    texts = [described] if isinstance(described, str) else described
    linked = [re.sub(r"\bU\(([^()]*)\)", r"<\1>", " ".join(text.split())) for text in texts]
    return [re.sub(r"\b[OVMECIB]\((?:[\w.]+#\w+:)?([^()]*)\)", r"`\1`", text) for text in linked]


def cell(text: str) -> str:
    r"""A text for a cell of a table.

    >>> cell("`x|y`")
    '`x\\|y`'
    """
    return text.replace("|", "\\|")


def literal(value: Any) -> str:
    """A default as YAML has it, on one line.

    >>> literal("READ"), literal(True), literal(""), literal({"cpu": "2"}), literal(None)
    ('READ', 'true', '""', '{"cpu": "2"}', 'null')
    """
    return value if isinstance(value, str) and value else json.dumps(value)


def rows(options: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """A row an option, those within it after it."""
    for name, option in options.items():
        words = " ".join(paragraphs(option["description"]))
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        default = "required" if option.get("required") else f"`{literal(option['default'])}`" if "default" in option else ""
        choices = f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}." if "choices" in option else ""
        yield f"| `{prefix}{name}` | {kind} | {cell(default)} | {cell(words + choices)} |"
        yield from rows(option.get("options", option.get("suboptions", {})), f"{prefix}{name}{'[]' if option['type'] == 'list' else ''}.")


def reference() -> str:
    """A heading and a table a list of the declaration."""
    lines = []
    for section, option in yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"].items():
        table = [line.replace(f"`{section}[].", "`") for line in rows(option["suboptions"])]
        lines += [f"\n## {section}\n", "| key | type | default | meaning |", "|---|---|---|---|", *table]
    return "\n".join(lines) + "\n"


def action_groups() -> str:
    """The modules that share a connection, as meta/runtime.yml has them."""
    kinds = [name for kind in KINDS.values() for name in (kind.module, f"{kind.module}_info")]
    head = (ROOT / "meta" / "runtime.yml").read_text().partition("action_groups:")[0]
    return "\n".join([f"{head}action_groups:", "  mlflow:", *(f"    - {name}" for name in sorted([*BEFORE, *kinds, *AFTER])), ""])


def first_sentence(module: str) -> str:
    """What a module does."""
    described = yaml.safe_load(texts_of(module)["DOCUMENTATION"])["description"]
    return paragraphs(described)[0].partition(". ")[0].removesuffix(".")


def texts_of(module: str) -> dict[str, str]:
    """The texts of a module: its documentation, examples and results."""
    tree = ast.parse((MODULES / f"{module}.py").read_text())
    assigned = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]
    return {node.targets[0].id: str(node.value.value) for node in assigned if isinstance(node.targets[0], ast.Name)}


def modules_table() -> str:
    """A row a module; those of a kind have an info module too."""
    names = [*BEFORE, *(kind.module for kind in KINDS.values()), *AFTER]
    table = [f"| `{name}` | {cell(first_sentence(name))} |" for name in names]
    return "\n".join(["| module | what it does |", "|---|---|", *table, ""])


def fields(returned: str, key: str) -> dict[str, str]:
    r"""What is documented below ``contains`` of a result, a text a field, as it stands.

    >>> fields("a:\n  type: dict\n  contains:\n    x:\n      type: str\n    y:\n      type: int\nb:\n  type: str\n", "a")
    {'x': '    x:\n      type: str\n', 'y': '    y:\n      type: int\n'}
    """
    own = re.split(r"(?m)^(?=\S)", returned)
    block = next(part for part in own if part.startswith(f"{key}:\n")).partition("  contains:\n")[2]
    return {part.strip().partition(":")[0]: part for part in re.split(r"(?m)^(?=    \w)", block) if part}


def info_module(module: str, section: str, label: str) -> str:
    """The text of an info module, which returns what its kind's module does, except what that returns only sometimes."""
    path = MODULES / f"{module}_info.py"
    known = fields(texts_of(module)["RETURN"], label)
    always = [text for text in known.values() if not re.search(r"(?m)^      returned:", text)]
    head, _contains, rest = path.read_text().partition(f'RETURN = r"""\n{section}:\n')
    described, _contains, old = rest.partition("  contains:\n")
    return f'{head}RETURN = r"""\n{section}:\n{described}  contains:\n{"".join(always)}"""\n{old.partition(chr(34) * 3 + chr(10))[2]}'


def entry_points_of(role: Path) -> dict[str, Any]:
    """What the argument specs of a role say of each entry point."""
    specs: dict[str, Any] = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    return specs


def readme(role: str, entry_points: dict[str, Any]) -> str:
    """What a role does, publishes and takes."""
    main = entry_points["main"]
    told = paragraphs(main["description"])
    published = [text for text in told if text.startswith("Publishes")] or ["Nothing."]
    parts = [f"# mlops.mlflow.{role}", "<!-- Written by `make docs` from meta/argument_specs.yml. -->", f"{main['short_description']}."]
    parts += [text for text in told if not text.startswith("Publishes")]
    if "examples" in main:
        parts += ["## Example", f"```yaml\n{main['examples'].strip()}\n```"]
    parts += ["## What it publishes", *published]
    if len(entry_points) > 1:
        table = [f"| `{name}` | {cell(entry['short_description'])} |" for name, entry in entry_points.items()]
        parts += ["## Entry points", "The role runs `main` by default; `tasks_from` of `ansible.builtin.include_role` selects another.",
                  "\n".join(["| entry point | what it does |", "|---|---|", *table])]
    for name, entry in entry_points.items():
        parts += ["## Variables"] if name == "main" else [f"## Entry point {name}", *paragraphs(entry["description"])]
        table = list(rows(entry.get("options") or {}))
        if not table:
            parts += ["It takes no variables."]
        elif name != "main" and entry["options"] == main.get("options"):
            parts += ["It takes the same variables as `main`."]
        else:
            parts += ["\n".join(["| variable | type | default | meaning |", "|---|---|---|---|", *table])]
    return "\n\n".join(parts) + "\n"


def variables() -> str:
    """The variables of all roles, for a page of the site; each leads to the page of its role."""
    parts = ["# Variables"]
    for role in ROLES:
        options = {name: option for entry in entry_points_of(role).values() for name, option in (entry.get("options") or {}).items()}
        table = [f"| [`{name}`](collection/{role.name}_role.rst) | {cell(paragraphs(options[name]['description'])[0])} |" for name in sorted(options)]
        parts += [f"## {role.name}", "\n".join(["| variable | meaning |", "|---|---|", *table])]
    return "\n\n".join(parts) + "\n"


def metadata(entry_points: dict[str, Any], collection: dict[str, Any]) -> str:
    """What Galaxy wants to know of a role."""
    info = {
        "author": ", ".join(collection["authors"]),
        "description": entry_points["main"]["short_description"],
        "license": "GPL-3.0-or-later",
        "standalone": False,
    }
    text: str = yaml.safe_dump({"galaxy_info": info}, sort_keys=False, width=150)
    return f"---\n# Written by `make docs` from argument_specs.yml.\n{text}"


def pages() -> Iterator[tuple[Path, str]]:
    """Each file that is written here, and its text as it should be."""
    yield REFERENCE, REFERENCE.read_text().partition(MARK)[0] + MARK + reference()
    yield ROOT / "meta" / "runtime.yml", action_groups()
    for page, checks in RUNBOOKS.items():
        yield page, f"{page.read_text().partition(RUNBOOK_MARK)[0]}{RUNBOOK_MARK}\n\n{runbook(checks)}"
    before, _mark, after = (ROOT / "README.md").read_text().partition(TABLE)
    yield ROOT / "README.md", f"{before}{TABLE}\n{modules_table()}\n{after.removeprefix(chr(10)).partition(chr(10) * 2)[2]}"
    for section, kind in KINDS.items():
        label = kind.rules.LABEL.replace(" ", "_")
        yield MODULES / f"{kind.module}_info.py", info_module(kind.module, section, label)
    collection = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    for role in ROLES:
        entry_points = entry_points_of(role)
        yield role / "README.md", readme(role.name, entry_points)
        yield role / "meta" / "main.yml", metadata(entry_points, collection)


if __name__ == "__main__":
    if sys.argv[1:] == ["--variables"]:
        sys.exit(sys.stdout.write(variables()) and None)
    stale = [(path, text) for path, text in pages() if not path.exists() or path.read_text() != text]
    if sys.argv[1:] == ["--check"]:
        names = "\n".join(f"  {path.relative_to(ROOT)}" for path, _text in stale)
        sys.exit(f"Not what the documentation of modules and roles says; run make docs:\n{names}" if stale else None)
    for path, text in stale:
        path.write_text(text)
