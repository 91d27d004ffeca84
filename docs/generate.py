"""Write the reference at the end of mlflow-as-code.md anew, from the modules' own documentation: ``make docs``."""
from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.mlops.mlflow.plugins.doc_fragments.resources import ModuleDocFragment

PAGE = Path(__file__).with_name("mlflow-as-code.md")
MARK = "<!-- What follows is written by `make docs`. -->\n"


def plain(text: str) -> str:
    r"""Ansible's markup as Markdown's, for a cell of a table.

    >>> plain("With V(absent), see O(tags[].x) and M(a.b.c). E(HOME), C(x|y)")
    'With `absent`, see `tags[].x` and `a.b.c`. `HOME`, `x\\|y`'
    """
    return re.sub(r"\b[OVMECIB]\((?:[\w.]+#module:)?([^()]*)\)", r"`\1`", " ".join(text.split())).replace("|", "\\|")


def rows(options: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """A row an option, those within it after it."""
    for name, option in options.items():
        described = option["description"]
        words = " ".join(described) if isinstance(described, list) else described
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        default = "required" if option.get("required") else f"`{str(option['default']).lower()}`" if "default" in option else ""
        choices = f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}." if "choices" in option else ""
        yield f"| `{prefix}{name}` | {kind} | {default} | {plain(words)}{choices} |"
        yield from rows(option.get("suboptions", {}), f"{prefix}{name}{'[]' if option['type'] == 'list' else ''}.")


def reference() -> str:
    """A heading and a table a list of the declaration."""
    lines = []
    for section, option in yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"].items():
        table = [line.replace(f"`{section}[].", "`") for line in rows(option["suboptions"])]
        lines += [f"\n### {section}\n", "| key | type | default | meaning |", "|---|---|---|---|", *table]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page with its reference as it should be."""
    return PAGE.read_text().partition(MARK)[0] + MARK + reference()


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(None if PAGE.read_text() == page() else f"{PAGE.name} is not what the modules' documentation says: make docs")
    PAGE.write_text(page())
