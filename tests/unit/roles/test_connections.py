"""What roles read of what earlier roles published: its type, and what is said where there is none."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import deployments
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import cloudnative_pg
from roles import CLUSTER, PUBLISHED, ROLES, Role

READERS = [
    ("mlflow_server", "mlflow_image_reference", "mlflow_image"), ("mlflow_verify", "mlflow_server_endpoint", "mlflow_server"),
    ("mlflow_resources", "mlflow_server_endpoint", "mlflow_server"), ("mlflow_clients", "mlflow_server_endpoint", "mlflow_server"),
]
EMBEDDED = {"groups": {}, "inventory_hostname": "localhost", "ansible_check_mode": False, "embedded_runtime": {"home": "/x"}}
EXTERNAL = {
    "postgresql_provider": "external", "postgresql_host": "db.example.com", "postgresql_ca": "x", "kubernetes_egress": [{"ports": []}],
    "artifact_store_provider": "external_s3", "artifact_store_ca": "x", "artifact_store_secret_key": "s",
}


def dictionaries(tree: Any, name: str) -> list[dict[str, Any]]:
    """Each dictionary of that name in the tasks of a role: of a fact, or of a variable that it is made of."""
    if isinstance(tree, list):
        return [found for each in tree for found in dictionaries(each, name)]
    if not isinstance(tree, dict):
        return []
    own = tree.get(name)
    return ([own] if isinstance(own, dict) else []) + [found for each in tree.values() for found in dictionaries(each, name)]


def in_tasks(role: str, name: str) -> list[dict[str, Any]]:
    """The same of all tasks of a role."""
    return [found for path in sorted((ROLES / role / "tasks").glob("*.yml")) for found in dictionaries(yaml.safe_load(path.read_text()), name)]


def options_of(role: str, fact: str) -> dict[str, Any]:
    """The argument spec of a role for a fact alone."""
    specs = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    return {fact: specs[fact]}


def undocumented(value: Any, options: dict[str, Any]) -> list[str]:
    """The keys that the spec of the reader does not have."""
    found = [key for key in value if key not in options]
    for key, inner in value.items():
        if isinstance(inner, dict) and key in options and options[key].get("options"):
            found += undocumented(inner, options[key]["options"])
    return found


@pytest.mark.parametrize(("role", "fact", "publisher"), READERS)
def test_each_key_that_is_published_has_a_type_where_it_is_read(role: str, fact: str, publisher: str) -> None:
    values = in_tasks(publisher, fact)
    if publisher == "mlflow_server":
        values.append(Role(publisher, **CLUSTER, **PUBLISHED).decided("deployment")["endpoint"])
    assert values
    options = options_of(role, fact)[fact]["options"]
    assert [key for value in values for key in undocumented(value, options)] == []


@pytest.mark.parametrize("publisher", ["postgresql", "artifact_store"])
@pytest.mark.parametrize("runtime", ["kubernetes", "embedded"])
def test_what_each_provider_publishes_is_taken(publisher: str, runtime: str) -> None:
    """The connection that all providers share with what each adds."""
    fact = f"{publisher}_connection"
    role = Role(publisher, **(CLUSTER if runtime == "kubernetes" else EMBEDDED), **EXTERNAL,
                kubernetes_secrets={"postgresql": {"password": "p"}})
    where = {f"__{publisher}_host": "db", f"__{publisher}_endpoint_url": "http://s3"}
    added = "postgresql.external" if publisher == "postgresql" else "artifact_store.access"
    value = role.said(f"__{publisher}_connection | combine(__{publisher}_given | mlops.mlflow.decide('{added}'))", **where)
    assert ArgumentSpecValidator(options_of("mlflow_server", fact)).validate({fact: value}).error_messages == []
    further = in_tasks(publisher, f"__{publisher}_access") + in_tasks(publisher, fact)
    more = {name: PUBLISHED[name] for name in ("kubernetes_secrets", "kubernetes_certificates")}
    if publisher == "postgresql":
        further.append(role.decided("statefulset", **more, __postgresql_address="10.43.0.9"))
        further.append(cloudnative_pg.DECISIONS["cloudnative_pg_access"](deployments.cloudnative_pg()))
    else:
        further += [role.decided("access", **more, artifact_store_provider=provider) for provider in ("embedded", "minio", "seaweedfs")]
    assert len(further) >= 2
    assert [key for each in further for key in undocumented(each, options_of("mlflow_server", fact)[fact]["options"])] == []


def test_the_login_is_taken_as_it_is_published_and_known_before_the_role_has_run() -> None:
    """By its variables alone: no cluster, no Secret. Without a provider, there is none."""
    four = {"sso_provider": "oauth2_proxy", "sso_issuer_url": "https://a.example/realms/b", "sso_client_id": "mlflow", "sso_client_secret": "s"}
    early = {"groups": {"k3s_server": ["a"]}}
    options = options_of("mlflow_server", "sso_connection")
    within = {"sso_provider": "oidc_plugin", "sso_issuer_ca": "x", "sso_admin_groups": ["a"], "mlflow_server_host": "m.example.com"}
    for more, claimed in (({}, 10), (within, 2)):
        role = Role("sso", **early, **four | more)
        value = role.said("sso_connection")
        assert ArgumentSpecValidator(options).validate({"sso_connection": value}).error_messages == []
        assert value.keys() == options["sso_connection"]["options"].keys()
        assert len(role.said("sso_claims")) == claimed
    assert (Role("sso", **early).said("sso_connection"), Role("sso", **early).said("sso_claims")) == ({}, [])


@pytest.mark.parametrize("given", [{}, {"keycloak_host": "login.example.com"}], ids=["without Keycloak", "with Keycloak"])
def test_the_login_takes_what_the_role_keycloak_publishes(given: dict[str, Any]) -> None:
    """In every play, and on a host without a cluster too, where there is none."""
    options = options_of("sso", "keycloak_connection")
    for where in (CLUSTER, EMBEDDED):
        value = Role("keycloak", **where, **given).said("keycloak_connection")
        assert ArgumentSpecValidator(options).validate({"keycloak_connection": value}).error_messages == []
        assert bool(value) == bool(given)


def test_the_role_of_the_login_gives_what_its_objects_need() -> None:
    four = {"sso_provider": "oauth2_proxy", "sso_issuer_url": "https://a.example/realms/b", "sso_client_id": "mlflow", "sso_client_secret": "s"}
    role = Role("sso", **CLUSTER, **four, kubernetes_secrets={"oauth2-proxy": {"client-secret": "s", "cookie-secret": "c"}}, kubernetes_egress=[])
    assert role.decided("problems") == []
    assert role.decided("secret_keys") == {"client-secret": "s", "cookie-secret": ""}
    assert [made["kind"] for made in role.decided("oauth2_proxy")].count("Middleware") == 3


def test_the_server_claims_the_ingress_of_the_login() -> None:
    login = Role("sso", groups={"k3s_server": ["a"]}, sso_provider="oauth2_proxy").said("sso_connection")
    public = {"mlflow_server_host": "mlflow.example.com"}
    for given, wanted in (({}, False), ({"sso_connection": login}, True)):
        claims = Role("mlflow_server", **CLUSTER, **public, **given).said("mlflow_server_claims")
        assert [each["wanted"] for each in claims if each["name"] == "mlflow-routes"] == [wanted]


@pytest.mark.parametrize("fact", ["postgresql_connection", "artifact_store_connection", "mlflow_image_reference"])
def test_a_key_too_many_or_of_another_type_is_not(fact: str) -> None:
    validator = ArgumentSpecValidator(options_of("mlflow_server", fact))
    assert validator.validate({fact: PUBLISHED[fact]}).error_messages == []
    assert len(validator.validate({fact: PUBLISHED[fact] | {"hots": "x"}}).error_messages) == 1
    assert len(validator.validate({fact: {}}).error_messages) == 1


def test_a_role_by_itself_says_what_to_run_before_it(tmp_path: Path) -> None:
    """In one sentence, on Kubernetes and embedded."""
    tasks = []
    for role in ("mlflow_server", "mlflow_verify"):
        told = {"ansible.builtin.debug": {"msg": "{{ inventory_hostname }} TOLD {{ ansible_failed_result.msg }} END"}}
        tasks.append({"block": [{"ansible.builtin.include_role": {"name": f"mlops.mlflow.{role}"}}], "rescue": [told]})
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "connection": "local", "tasks": tasks}]))
    (tmp_path / "cluster").write_text(json.dumps({"k3s_server": {"hosts": {"a": {}}}}))
    (tmp_path / "machine").write_text("localhost\n")
    said = {}
    for inventory in ("cluster", "machine"):
        words = ["playbook", "--inventory", str(tmp_path / inventory), str(tmp_path / "play.yml")]
        root = ROLES.parent
        environment = os.environ | {"ANSIBLE_CONFIG": str(root / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run([sys.executable, "-m", "ansible", *words], cwd=root, env=environment, capture_output=True, text=True, check=False)
        parts = [" ".join(part.partition(" END")[0].split()) for part in done.stdout.split(" TOLD ")[1:]]
        said[inventory] = parts
    end = "earlier in the same play, or the playbook mlops.mlflow.site, which runs all roles in order"
    expected = [
        f"postgresql_connection: it is not set; run the role mlops.mlflow.postgresql {end}",
        f"mlflow_server_endpoint: it is not set; run the role mlops.mlflow.mlflow_server {end}",
    ]
    assert said == {"cluster": expected, "machine": expected}
