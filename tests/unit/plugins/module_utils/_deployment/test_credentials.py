"""Which values of a Secret come from Vault, which are written there, and by which objects."""
from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest
from deployments import vault_secret

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.credentials import DECISIONS
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.rotation_kubernetes import DECISIONS as ROTATION

VALUES = {"password": "v", "crypto-passphrase": "w"}
OWN: dict[str, Any] = {"store": "", "vault_url": "https://vault.example.com:8200", "vault_role": "mlflow"}


def plan(**given: Any) -> dict[str, Any]:
    found: dict[str, Any] = DECISIONS["secret"](vault_secret(**given))
    return found


def there(state: str = "True", **given: Any) -> dict[str, Any]:
    """The ExternalSecret as the API server has it, with what it adds."""
    made = plan(**given)["external_secret"]
    data = [{**each, "remoteRef": {**each["remoteRef"], "decodingStrategy": "None"}} for each in made["spec"]["data"]]
    return {**made, "spec": {**made["spec"], "data": data}, "status": {"conditions": [{"type": "Ready", "status": state}]}}


def seed(**given: Any) -> dict[str, str]:
    """The values that would be written."""
    return {key: b64decode(value).decode() for key, value in plan(create_missing=True, **given)["written"][0]["data"].items()}


def test_only_what_no_variable_gives_is_read_each_under_its_key() -> None:
    made = plan()["external_secret"]["spec"]
    assert [(each["secretKey"], each["remoteRef"]) for each in made["data"]] == [
        ("password", {"key": "mlflow/mlflow", "property": "password"}),
        ("crypto-passphrase", {"key": "mlflow/mlflow", "property": "crypto-passphrase"}),
    ]
    assert made["target"]["name"] == "mlflow-vault"
    assert made["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "vault"}


def test_nothing_is_applied_for_what_is_read_already() -> None:
    assert plan(external_secret=there(), read=VALUES)["is_read"]
    assert not plan(external_secret=there(), read={"password": "v"})["is_read"]
    assert not plan(external_secret=there("False"), read=VALUES)["is_read"]
    assert not plan(external_secret=there(), read=VALUES, refresh_interval="1h")["is_read"]
    assert not plan(external_secret=there(), read=VALUES, keys={"password": ""})["is_read"]
    assert not plan(read=VALUES)["is_read"]


def test_vault_is_written_to_only_where_that_is_wanted_and_something_may_be_missing() -> None:
    assert not plan()["writes"]
    assert plan(create_missing=True)["writes"]
    assert plan(create_missing="yes")["writes"]
    assert not plan(create_missing=True, external_secret=there(create_missing=True), read=VALUES)["writes"]


def test_no_value_that_exists_is_overwritten_and_none_is_deleted_with_the_push() -> None:
    push = plan(create_missing=True)["written"][1]["spec"]
    assert (push["updatePolicy"], push["deletionPolicy"]) == ("IfNotExists", "None")
    assert [each["match"]["remoteRef"] for each in push["data"]] == [
        {"remoteKey": "mlflow/mlflow", "property": "password"}, {"remoteKey": "mlflow/mlflow", "property": "crypto-passphrase"},
    ]  # fmt: skip


def test_values_in_use_are_written_before_those_of_an_interrupted_run_and_these_before_new_ones() -> None:
    assert seed() == {"password": "new-0", "crypto-passphrase": "new-1"}
    assert seed(written={"password": "before", "other": "x"}) == {"password": "before", "crypto-passphrase": "new-1"}
    assert seed(written={"password": "before"}, secret={"username": "mlflow", "password": "in use"})["password"] == "in use"
    assert set(seed(check_mode=True).values()) == {""}


def test_what_was_made_for_writing_is_removed_and_nothing_else() -> None:
    assert [(each["kind"], each["name"]) for each in plan()["left_behind"]] == [("PushSecret", "mlflow"), ("Secret", "mlflow-new")]


def test_the_values_are_those_of_vault_for_keys_that_no_variable_gives() -> None:
    assert DECISIONS["secret_values"](vault_secret(read=VALUES | {"username": "other", "more": "x"})) == VALUES
    assert DECISIONS["secret_values"](vault_secret()) == {}


def test_a_key_that_encrypts_rows_cannot_be_exchanged_and_no_value_is_shown() -> None:
    told = DECISIONS["secret_problem"](vault_secret(read=VALUES, secret={"password": "old", "crypto-passphrase": "old"}))
    assert told.startswith("credentials_path: 'mlflow/mlflow' has another crypto-passphrase")
    assert "old" not in told.split()
    assert DECISIONS["secret_problem"](vault_secret(read=VALUES, secret={"password": "old", "crypto-passphrase": "w"})) == ""
    assert DECISIONS["secret_problem"](vault_secret(read=VALUES)) == ""


def test_an_empty_value_is_not_replaced_by_a_generated_one() -> None:
    assert "has no value for password" in DECISIONS["secret_problem"](vault_secret(read=VALUES | {"password": ""}))
    assert DECISIONS["secret_problem"](vault_secret(check_mode=True)) == ""


def test_a_store_of_its_own_logs_in_with_its_own_account() -> None:
    account, store = DECISIONS["store_objects"](vault_secret(**OWN))
    vault = store["spec"]["provider"]["vault"]
    assert (vault["server"], vault["path"], vault["version"]) == ("https://vault.example.com:8200", "secret", "v2")
    assert vault["auth"]["kubernetes"]["serviceAccountRef"] == {"name": account["metadata"]["name"]}
    assert DECISIONS["store_objects"](vault_secret()) == []
    assert plan(**OWN)["external_secret"]["spec"]["secretStoreRef"] == {"kind": "SecretStore", "name": "credentials"}


def test_a_store_of_somebody_else_is_not_touched_and_ones_own_is_asked_to_log_in_again() -> None:
    given = {**vault_secret(external_secret=there()), "claims": [{"kind": "Secret", "name": "mlflow"}], "now": "12:00"}
    assert [each["kind"] for each in DECISIONS["asked"](given)["patches"]] == ["ExternalSecret"]
    given["variables"] = vault_secret(**OWN)["variables"]
    assert [each["kind"] for each in DECISIONS["asked"](given)["patches"]] == ["SecretStore", "ExternalSecret"]


@pytest.mark.parametrize(("given", "option"), [
    ({"store": ""}, "credentials_store"),
    ({"vault_url": "https://vault.example.com", "vault_role": "mlflow"}, "credentials_store"),
    (OWN | {"vault_url": "vault.example.com"}, "credentials_vault_url"),
    (OWN | {"vault_role": ""}, "credentials_vault_role"),
    ({"path": "secret/mlflow"}, "credentials_path"),
    ({"path": "data/mlflow"}, "credentials_path"),
    ({"path": "mlflow/"}, "credentials_path"),
    ({"path": ""}, "credentials_path"),
    ({"refresh_interval": "0"}, "credentials_refresh_interval"),
])
def test_a_wrong_variable_is_named(given: dict[str, Any], option: str) -> None:
    (told,) = DECISIONS["problems"](vault_secret(**given))
    assert told.startswith(f"{option}: ")


def test_the_kinds_that_the_cluster_must_know() -> None:
    assert [each["kind"] for each in DECISIONS["kinds"](vault_secret())] == ["ExternalSecret"]
    assert [each["kind"] for each in DECISIONS["kinds"](vault_secret(create_missing=True))] == ["ExternalSecret", "PushSecret"]


def test_a_rotation_leaves_what_vault_has_to_vault() -> None:
    given: dict[str, Any] = {"credentials": "external_secret", "variables": {"mlflow_rotation_keys": ["database_password"]}}
    assert ROTATION["cluster_obstacle"](given).startswith("rotate: the keys and passwords are Vault's (credentials_provider)")
