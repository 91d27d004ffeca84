"""No task exposes a password: a task's environment is part of its shell's command line, and -vvv prints its standard input."""
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/*.yml")])
RETURN = re.compile(r'^RETURN = r"""(.*?)"""', re.M | re.S)
SECRET = re.compile(r"password|passphrase|secret|token|private_?key", re.I)
#: What says where a secret is, or how it is called, and not what it is.
HARMLESS = re.compile(r"(?:password|secret)_(?:file|secret|names?)\b|/secrets\b|\w*_is_\w*|\w*secret_name\w*", re.I)


def tasks(document: Any) -> Iterator[dict[str, Any]]:
    """Every task in a file, in blocks too."""
    for item in document if isinstance(document, list) else []:
        if isinstance(item, dict):
            yield item
            for key in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks"):
                yield from tasks(item.get(key))


def definitions(role: Path) -> dict[str, str]:
    """The role's variables, each with the text of its value."""
    found: dict[str, str] = {}
    for file in [*role.glob("defaults/*.yml"), *role.glob("vars/**/*.yml")]:
        found |= {name: str(value) for name, value in (yaml.safe_load(file.read_text()) or {}).items()}
    return found


def spelled_out(text: str, known: dict[str, str]) -> str:
    """A text with the values of the variables that it names, and of those that these name."""
    seen: set[str] = set()
    texts, fresh = [text], [text]
    while fresh:
        names = {name for part in fresh for name in re.findall(r"\b\w+\b", part)} & known.keys() - seen
        seen |= names
        fresh = [known[name] for name in sorted(names)]
        texts += fresh
    return "\n".join(texts)


def shows_a_secret(task: dict[str, Any], known: dict[str, str]) -> list[str]:
    """Return which parts of a task expose a secret."""
    arguments = [value for value in task.values() if isinstance(value, dict)]
    stdin = [str(value["stdin"]) for value in arguments if "stdin" in value and not task.get("no_log")]
    # Without a variable it would be a script, which a lookup reads.
    parts = {"environment": str(task.get("environment", "")), "stdin": " ".join(text for text in stdin if "lookup(" not in text)}
    return [part for part, text in parts.items() if SECRET.search(HARMLESS.sub("", spelled_out(text, known)))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_task_shows_a_secret(path: Path) -> None:
    known = definitions(path.parents[1])
    shown = {task.get("name"): parts for task in tasks(yaml.safe_load(path.read_text())) if (parts := shows_a_secret(task, known))}
    assert shown == {}


@pytest.mark.parametrize(
    ("task", "part"),
    [
        ({"environment": {"PGPASSWORD": "{{ x }}"}}, "environment"),
        ({"environment": "{{ __given }}"}, "environment"),
        ({"ansible.builtin.command": {"stdin": "{{ __given | to_json }}"}}, "stdin"),
    ],
)
def test_a_planted_secret_is_seen(task: dict[str, Any], part: str) -> None:
    known = {"__given": "{{ __more }}", "__more": "{'key': embedded_secrets.x}"}
    assert shows_a_secret(task, known) == [part]
    assert shows_a_secret({"ansible.builtin.command": {"stdin": "{{ __given }}"}, "no_log": True}, known) == []
    assert shows_a_secret({"environment": {"HOME": "{{ embedded_runtime.home }}"}}, known) == []


def test_no_module_returns_what_ansible_shows_in_spite_of_no_log() -> None:
    """It takes ``results`` for those of a loop, of which each says by itself whether it is hidden."""
    documented = {path.name: RETURN.search(path.read_text()) for path in (ROOT / "plugins/modules").glob("*.py")}
    returned = {name: yaml.safe_load(found[1]) or {} for name, found in documented.items() if found}
    assert len(returned) > 20
    assert not [name for name, values in returned.items() if "results" in values]
