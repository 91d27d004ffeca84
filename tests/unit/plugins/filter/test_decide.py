"""The filter that reads the decisions of one role at a time."""
from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.mlops.mlflow.plugins.filter.decide import DEPLOYMENT, MODULES, decide, decisions

ROOT = Path(__file__).resolve().parents[4]
ASKED = {each for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*.yml")
         for each in re.findall(r"mlops\.mlflow\.decide\('([^']+)'\)", path.read_text(encoding="utf-8"))}


def test_every_decision_that_a_task_asks_for_is_there() -> None:
    assert len(ASKED) > 100
    assert {each for each in ASKED if each.partition(".")[2] not in decisions(each.partition(".")[0])} == set()


@pytest.mark.parametrize("role", MODULES)
def test_no_decision_of_a_role_hides_another(role: str) -> None:
    alone = [name for module in MODULES[role] for name in import_module(f"{DEPLOYMENT}.{module}").DECISIONS]
    assert sorted(alone) == sorted(decisions(role))


@pytest.mark.parametrize("name", ["sso.nothing", "nobody.problems", "problems"])
def test_one_that_does_not_exist_is_named_beside_those_that_do(name: str) -> None:
    with pytest.raises(AnsibleFilterError, match=rf"^{re.escape(name)}: there is no such decision; use one of artifact_store\.\w+, .*sso\.problems"):
        decide({}, name)
