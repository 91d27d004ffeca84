"""An empty text is a value: refused, or with a meaning that the documentation gives. No option is read by whether it is true."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils import _options
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.kinds import KINDS
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption

#: Entries that are right, of which one option is emptied.
RIGHT: dict[str, dict[str, Any]] = {
    "workspaces": {"name": "team-a"},
    "users": {"username": "ann", "password": "a password of hers"},
    "experiments": {"name": "a"},
    "registered_models": {"name": "a"},
    "prompts": {"name": "a"},
    "webhooks": {"name": "a"},
    "gateway_secrets": {"name": "a"},
    "model_versions": {"name": "a", "source": "s3://b/c"},
    "gateway_model_definitions": {"name": "a"},
    "gateway_endpoints": {"name": "a"},
    "roles": {"name": "a"},
    "grants": {"username": "ann", "resource_type": "experiment", "resource": "a", "permission": "READ", "state": "present"},
}
#: What an empty text clears, or removes.
MEANS_SOMETHING = {("webhooks", "secret"), *((section, "description") for section in KINDS), ("workspaces", "default_artifact_root")}


def texts() -> Iterator[tuple[str, str]]:
    for section, kind in KINDS.items():
        for name, option in kind.rules.OPTIONS.items():
            if option.get("type", "str") == "str" and not option.get("choices") and (section, name) not in MEANS_SOMETHING:
                yield section, name


def test_every_kind_has_an_entry_that_is_right() -> None:
    assert set(RIGHT) == set(KINDS)
    for section, entry in RIGHT.items():
        _options.check(KINDS[section].rules.OPTIONS, entry)
        KINDS[section].rules.check_options(entry)


@pytest.mark.parametrize(("section", "name"), list(texts()))
@pytest.mark.parametrize("blank", ["", " "])
def test_an_empty_text_is_refused(section: str, name: str, blank: str) -> None:
    entry = {**RIGHT[section], name: blank}
    if section == "model_versions" and name in ("artifact_path", "model_id"):
        entry["source"] = None
    if name == "artifact_path":
        entry["run_id"] = "0f3a"
    with pytest.raises(InvalidOption, match=f"^{name}: "):
        KINDS[section].rules.check_options(entry)


@pytest.mark.parametrize(("section", "name"), [pair for pair in sorted(MEANS_SOMETHING) if pair[1] in KINDS[pair[0]].rules.OPTIONS])
def test_an_empty_text_may_mean_something(section: str, name: str) -> None:
    KINDS[section].rules.check_options({**RIGHT[section], name: ""})
