"""The inventories that come with the collection, and the README's: each role takes their variables together, as it takes each by itself."""
from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from roles import CLUSTER, PUBLISHED, ROLES, Role

INVENTORIES = {
    folder.parent.name: yaml.safe_load((folder / "all.yml").read_text()) for folder in sorted(ROLES.parent.glob("inventories/*/group_vars"))
}
[README] = re.findall(r"```yaml\n(k3s_server:.*?)```", (ROLES.parent / "README.md").read_text(), re.S)
INVENTORIES["README"] = yaml.safe_load(README)["all"]["vars"]
#: What a role's problems are decided from.
GIVEN = {"postgresql": "__postgresql_given", "artifact_store": "__artifact_store_given", "mlflow_server": "__mlflow_server_basis"}


@pytest.mark.parametrize("inventory", INVENTORIES)
@pytest.mark.parametrize("role", GIVEN)
def test_a_role_takes_them(role: str, inventory: str) -> None:
    given: dict[str, Any] = CLUSTER | PUBLISHED | INVENTORIES[inventory]
    assert Role(role, **given).said(f"{GIVEN[role]} | mlops.mlflow.decide('{role}.problems')") == []
