"""What an entry of a declaration may be, and how it is called where it is not."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils import _options
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.kinds import KINDS
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.declaration import entry_title, misfit, second


@pytest.mark.parametrize(
    ("section", "entry", "problem"),
    [
        ("experiments", {"name": "a", "tags": {"n": 1}, "purge_tags": "yes"}, None),
        ("experiments", {"name": 7, "state": None}, None),
        ("gateway_endpoints", {"name": "a", "models": [{"model_definition": "m", "weight": "0.5"}], "fallback": {"max_attempts": "3"}}, None),
        ("experiments", None, "it is null, not a dictionary; write name: … after the dash"),
        ("users", "ann", "it is text, not a dictionary; write username: … after the dash"),
        ("grants", [], "it is a list, not a dictionary; write username: … after the dash"),
        ("experiments", {}, "experiments.name: is missing; every entry needs it"),
        ("experiments", {"name": None}, "experiments.name: is missing; every entry needs it"),
        ("experiments", {"name": ["a"]}, "experiments.name: ['a'] is not text; give text"),
        ("users", {"username": "ann", "pasword": "hunter2"}, "users.pasword: is not an option of an entry; did you mean password?"),
        ("gateway_secrets", {"name": "a", "valu": {"k": "v"}}, "gateway_secrets.valu: is not an option of an entry; did you mean value?"),
        ("users", {"username": "ann", 3: "x"}, "users.3: is not an option of an entry; use username, state, "),
        ("users", {"username": "ann", "password": ["hunter2"]}, "users.password: … is not text; give text"),
        ("experiments", {"name": "a", "state": "gone"}, "experiments.state: 'gone' is not one of the allowed values; use present, absent"),
        ("experiments", {"name": "a", "tags": "team=a"}, "experiments.tags: 'team=a' is not a dictionary; give a dictionary"),
        ("experiments", {"name": "a", "purge_tags": "perhaps"}, "experiments.purge_tags: 'perhaps' is not true or false"),
        ("model_versions", {"name": "a", "aliases": "champion"}, "model_versions.aliases: 'champion' is not a list; give a list"),
        ("model_versions", {"name": "a", "aliases": [None]}, "model_versions.aliases: its entry 1 is null"),
        ("model_versions", {"name": "a", "aliases": [{"a": 1}]}, "model_versions.aliases: {'a': 1} is not text"),
        ("model_versions", {"name": "a", "wait_timeout": "soon"}, "model_versions.wait_timeout: 'soon' is not a whole number"),
        ("model_versions", {"name": "a", "wait_timeout": float("inf")}, "model_versions.wait_timeout: inf is not a whole number"),
        (
            "gateway_endpoints",
            {"name": "a", "models": [{"model_definition": "m"}, {"model_definition": "n", "linkage": "primary"}]},
            "gateway_endpoints.models: its entry 2: gateway_endpoints.models.linkage: 'primary' is not one of the allowed values; "
            "use PRIMARY, FALLBACK",
        ),
        ("roles", {"name": "a", "permissions": [None]}, "roles.permissions: its entry 1: it is null, not a dictionary; write resource_type: …"),
    ],
)
def test_what_an_entry_is_made_of(section: str, entry: Any, problem: str | None) -> None:
    found = misfit(section, entry, KINDS[section].rules.OPTIONS)
    assert found == problem if problem is None else (found or "").startswith(problem)
    assert "hunter2" not in (found or "")


def test_an_entry_is_called_by_number_and_name() -> None:
    options_of = KINDS["users"].rules.OPTIONS
    assert entry_title({"username": "ann"}, 2, options_of) == "entry 2 'ann'"
    assert [entry_title(entry, 1, options_of) for entry in (None, {}, {"username": ["a"]})] == ["entry 1"] * 3


def test_the_second_of_two_is_the_one_that_is_told() -> None:
    assert second([{"n": "a"}, {"n": "b"}, {"n": "b"}, {"n": "a"}], lambda entry: (entry["n"],)) == 3
    assert second([], lambda entry: (entry["n"],)) == 0


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"name": None}, "name: None is missing; give a value"),
        ({"name": "a\0"}, r"name: 'a\\x00' contains a character that databases cannot store; remove '\\x00'"),
        ({"name": "a", "tags": {"k": "\ud800"}}, "tags: .* contains a character that databases cannot store"),
        ({"name": "a", "tags": {"k\0": "v"}}, "tags: .* contains a character that databases cannot store"),
        ({"name": "a", "aliases": ["ok", "\0"]}, "aliases: .* contains a character"),
        ({"name": "a", "inner": [{"text": "x"}, {"text": "\0"}]}, "text: .* contains a character"),
        ({"name": "a", "secret": "hunter2\0"}, "secret: '…' contains a character"),
        ({"name": "a", "secret": {"key": "hunter2\0"}}, "secret: '…' contains a character"),
    ],
)
def test_what_no_database_stores(params: dict[str, Any], message: str) -> None:
    spec: dict[str, dict[str, Any]] = {
        "name": {"required": True},
        "tags": {"type": "dict"},
        "aliases": {"type": "list"},
        "secret": {"no_log": True},
        "inner": {"type": "list", "options": {"text": {}}},
    }
    with pytest.raises(InvalidOption, match=message) as caught:
        _options.check(spec, params)
    assert "hunter2" not in str(caught.value)
    _options.check(spec, {"name": "a\x85\u2028😀", "inner": [{"text": "x"}]})


@pytest.mark.parametrize(("value", "ok"), [(None, True), (1, True), (9, True), (0, False), (10, False), (10**400, False), (float("nan"), False)])
def test_numbers_have_bounds(value: Any, ok: bool) -> None:
    if ok:
        _options.check_number("n", value, 1, 9)
        return
    with pytest.raises(InvalidOption, match="n: .* is too (small; give 1 or more|large; give at most 9)"):
        _options.check_number("n", value, 1, 9)
