"""Variables of an inventory against what the roles say that they take."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.mlops.mlflow.plugins.module_utils import _role_variables
from ansible_collections.mlops.mlflow.plugins.module_utils._role_variables import problems

ROOT = Path(__file__).resolve().parents[4]
ROLES = {
    path.parents[1].name: _role_variables.options(yaml.safe_load(path.read_text())["argument_specs"])
    for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))
}
OPTIONS = {name: option for options in ROLES.values() for name, option in options.items()}
STRICT = ("artifact_store_", "mlflow_", "python_env_")


def published(tree: Any) -> set[str]:
    """The names without underscores in front that tasks set or register."""
    if isinstance(tree, list):
        return {name for each in tree for name in published(each)}
    if not isinstance(tree, dict):
        return set()
    names = set(tree.get("ansible.builtin.set_fact") or {}) | ({tree["register"]} if "register" in tree else set())
    return {name for name in names if not name.startswith(("_", "ansible_"))}.union(*(published(each) for each in tree.values()))


def test_what_roles_publish_is_known() -> None:
    tasks = [yaml.safe_load(path.read_text()) for path in ROOT.glob("roles/*/tasks/*.yml")]
    variables = [yaml.safe_load(path.read_text()) or {} for path in ROOT.glob("roles/*/vars/**/*.yml")]
    own = {name for each in variables for name in each if not name.startswith("_")}
    assert published(tasks) | own == _role_variables.PUBLISHED | (published(tasks) & OPTIONS.keys())


def test_the_documented_defaults_are_right() -> None:
    defaults = {name: option["default"] for name, option in OPTIONS.items() if "default" in option}
    assert len(defaults) > 100
    assert problems(defaults, ROLES) == []


@pytest.mark.parametrize("inventory", sorted((ROOT / "inventories").glob("*/**/*.yml")), ids=str)
def test_the_inventories_are_right(inventory: Path) -> None:
    found = yaml.safe_load(inventory.read_text())
    assert problems({name: value for name, value in found.items() if "{{" not in str(value)}, ROLES) == []


def test_a_letter_too_few_is_seen_and_the_right_name_told() -> None:
    names = [name for name in OPTIONS if _role_variables.is_of_interest(name, ROLES)]
    seen = 0
    for name in names:
        short = name[:-2] + name[-1]
        said = problems({short: OPTIONS[name].get("default", "1")}, ROLES)
        assert said or not name.startswith(STRICT)
        assert all(one.startswith(f"{short}: ") and f"rename it to {name}" in one for one in said), said
        seen += len(said)
    assert seen > 0.95 * len(names)


@pytest.mark.parametrize(("given", "said"), [
    ({"mlflow_server_replica": 5}, "role mlflow_server has no such variable; rename it to mlflow_server_replicas, or remove it"),
    ({"mlflow_servr_host": "a"}, "no role has such a variable; rename it to mlflow_server_host, or, if it is for something else, add --skip-tags"),
    ({"artifact_store_color": "red"}, "role artifact_store has no such variable; "),
    ({"kubernetes_namespac": "prod"}, "rename it to kubernetes_namespace"),
    ({"postgresql_hots": "db"}, "rename it to postgresql_host"),
    ({"mlflow_server_tls": "genrated"}, "'genrated' is not one of generated, provided, cert_manager, external, none; set generated"),
    ({"mlflow_server_replicas": "two"}, "'two' is not a whole number; set one, such as 1"),
    ({"mlflow_server_replicas": True}, "True is not a whole number"),
    ({"k3s_drain": "maybe"}, "'maybe' is neither true nor false; set one of them"),
    ({"mlflow_server_callers": {"podSelector": {}}}, "it is a dictionary, not a list; write it as [a, b]"),
    ({"mlflow_server_extra_hosts": [["a"]]}, "mlflow_server_extra_hosts[0]: it is a list, not a text"),
    ({"k3s_environment": "HTTPS_PROXY=x"}, "it is a text, not a dictionary; write it as {key: value}"),
    ({"mlflow_server_host": ["a"]}, "it is a list, not a text; set a text"),
    ({"mlflow_server_host": None}, "it has no value; set one, or remove it"),
])
def test_one_sentence_says_what_is_wrong(given: dict[str, Any], said: str) -> None:
    found = problems(given, ROLES)
    assert len(found) == 1, found
    assert said in found[0]
    assert found[0].startswith(next(iter(given)))
    assert ";" in found[0]


@pytest.mark.parametrize("theirs", [
    {"postgresql_databases": [{"name": "shop"}], "postgresql_users": [{"name": "shop"}], "postgresql_hba_entries": []},  # geerlingguy.postgresql
    {"k3s_release_version": "v1.34", "k3s_config_file": "/etc/x", "k3s_server_manifests_dir": "/x", "k3s_become": True},  # xanmanning.k3s
    {"kubernetes_version": "1.34", "kubernetes_role": "node", "kubernetes_pod_network": {"cidr": "10.0.0.0/8"}},  # geerlingguy.kubernetes
    {"mlflow_tracking_uri": "http://x", "mlflow_password": "x", "my_mlflow_server_host": "x", "ansible_user": "root", "__mlflow_server_host": 1},
])
def test_variables_of_others_are_left_alone(theirs: dict[str, Any]) -> None:
    assert problems(theirs, ROLES) == []


@pytest.mark.parametrize("given", [
    {"mlflow_server_replicas": "2", "mlflow_server_auth_cache_ttl": 0, "k3s_drain": "yes", "k3s_adopt": 0, "mlflow_image_tag": 2026.03},
    {"mlflow_server_replicas": _role_variables.UNKNOWN, "artifact_store_abort_multipart_days": None, "k3s_token": 12345},
])
def test_what_roles_take_passes(given: dict[str, Any]) -> None:
    assert problems(given, ROLES) == []


def test_no_text_is_shown_or_rendered() -> None:
    """It may be a password, and it may come from a store that asks for one."""
    secrets = [name for name, option in OPTIONS.items() if option.get("type", "str") in ("str", "path") and "choices" not in option]
    assert "postgresql_password" in secrets
    assert not [name for name in secrets if _role_variables.is_checked(OPTIONS[name], "{{ secret }}")]
    assert not [one for name in secrets for one in problems({name: ["secret"]}, ROLES) if "secret'" in one]


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(PLAIN, lambda each: st.lists(each) | st.dictionaries(st.text(), each), max_leaves=4)


@settings(max_examples=40)
@given(st.sampled_from(sorted(OPTIONS)), JSON)
@example("sso_connection", {"\n": None})
def test_any_value_is_judged(name: str, value: Any) -> None:
    assert all(one.startswith(name) and ";" in one and "\n" not in one for one in problems({name: value}, ROLES))
