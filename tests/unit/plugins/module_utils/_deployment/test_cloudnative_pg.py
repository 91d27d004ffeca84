"""PostgreSQL by CloudNativePG: what is claimed and made, what is left of a Cluster that is adopted, what MLflow is told, and what is refused."""
from __future__ import annotations

from typing import Any

import pytest
import variants
from deployments import cloudnative_pg

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import kubernetes, postgresql
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.cloudnative_pg import DECISIONS

OWN = {"app.kubernetes.io/managed-by": "mlops.mlflow", "mlops.mlflow/deployment": "mlflow"}
WITHOUT_ROLE, WITH_ROLE, WITH_OWNER = variants.FOREIGN
THEIR_SECRET = {"data": {"password": "cA=="}}


def objects(**given: Any) -> dict[str, Any]:
    """The objects by KIND/NAME."""
    found = DECISIONS["cloudnative_pg_objects"](cloudnative_pg(**given))
    return {f"{made['kind']}/{made['metadata']['name']}": made for made in found}


def spec(**given: Any) -> dict[str, Any]:
    """The specification of the Cluster."""
    found: dict[str, Any] = objects(**given)["Cluster/postgresql"]["spec"]
    return found


def test_what_is_made_was_claimed_and_the_operator_must_be_there_unless_it_is_installed() -> None:
    for operator in ("existing", "install"):
        claims = postgresql.DECISIONS["claims"]({"provider": "cloudnative_pg", "name": "postgresql", "operator": operator})
        wanted = {f"{each['kind']}/{each['name']}" for each in claims if each.get("wanted", True)}
        assert wanted == {*objects(), "Secret/postgresql-user"}
        required = [each for each in claims if each.get("required")]
        assert [each["option"] for each in required] == ([] if operator == "install" else ["postgresql_provider"])
        assert all("kubectl apply --server-side" in each["remedy"] for each in required)


def test_the_cluster_of_homelab() -> None:
    homelab = {"storage_class": "longhorn", "node_selector": {"kubernetes.io/arch": "amd64"}}
    found = spec(**homelab)
    assert found["storage"] == {"size": "10Gi", "storageClass": "longhorn"}
    assert found["affinity"] == {"nodeSelector": {"kubernetes.io/arch": "amd64"}}
    assert (found["instances"], found["enablePDB"], found["enableSuperuserAccess"]) == (1, False, False)
    assert found["smartShutdownTimeout"] == 0
    assert found["postgresql"]["parameters"]["max_connections"] == "200"
    assert all(isinstance(value, str) for value in found["postgresql"]["parameters"].values())
    assert spec(instances=3)["enablePDB"] is True
    assert "synchronous" not in found["postgresql"]
    assert spec(instances=3)["postgresql"]["synchronous"] == {"method": "any", "number": 1, "dataDurability": "preferred"}


def test_the_role_is_no_superuser_and_owns_both_databases() -> None:
    found = objects()
    (role,) = found["Cluster/postgresql"]["spec"]["managed"]["roles"]
    assert (role["name"], role["superuser"], role["passwordSecret"]) == ("mlflow", False, {"name": "postgresql-user"})
    assert found["Cluster/postgresql"]["spec"]["bootstrap"]["initdb"]["secret"] == role["passwordSecret"]
    databases = [made["spec"] for title, made in found.items() if title.startswith("Database/")]
    assert [(each["name"], each["owner"], each["databaseReclaimPolicy"]) for each in databases] == [
        ("mlflow", "mlflow", "retain"), ("mlflow_auth", "mlflow", "retain"),
    ]  # fmt: skip


def test_the_operator_and_the_callers_come_in_by_their_ports_alone() -> None:
    policy = objects(operator_namespace="operators")["NetworkPolicy/postgresql"]["spec"]
    callers, operator = policy["ingress"]
    assert [each["port"] for each in callers["ports"]] == [5432]
    assert {"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "mlflow"}}} in callers["from"]
    assert operator["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "operators"}
    assert [each["port"] for each in operator["ports"]] == [5432, 8000]
    assert policy["podSelector"] == {"matchLabels": {"cnpg.io/cluster": "postgresql"}}


@pytest.mark.parametrize(("found", "roles", "login"), [
    (WITHOUT_ROLE, ["grafana", "mlflow"], "postgresql-user"), (WITH_ROLE, None, "theirs"), (WITH_OWNER, None, "postgresql-app"),
])
def test_an_adopted_cluster_gets_its_mark_and_at_most_the_role(found: dict[str, Any], roles: list[str] | None, login: str) -> None:
    made = objects(found=found, instances=3, storage_class="other")
    assert sorted(made) == ["Cluster/postgresql", "Database/postgresql-auth", "Database/postgresql-tracking"]
    cluster = made["Cluster/postgresql"]
    named = [role["name"] for role in cluster["spec"]["managed"]["roles"]] if "spec" in cluster else None
    assert named == roles
    assert cluster.get("spec", {}).keys() <= {"managed"}
    assert DECISIONS["cloudnative_pg"](cloudnative_pg(found=found))["login"] == login
    # The next run, when it has the deployment's labels, and what was added to it.
    metadata = {**cluster["metadata"], "labels": OWN}
    again = {"metadata": metadata, "spec": {**found["spec"], **cluster.get("spec", {})}}
    assert objects(found=again)["Cluster/postgresql"] == cluster


def test_an_own_cluster_is_described_whole() -> None:
    assert "instances" in spec(found={"metadata": {"name": "postgresql", "labels": OWN}, "spec": {}})


@pytest.mark.parametrize(("given", "has_data", "said"), [
    ({}, False, ""),
    ({}, True, "postgresql_name: there is no Cluster 'postgresql', although MLflow has served here"),
    ({"found": {"metadata": {"name": "postgresql", "labels": OWN}}}, True, ""),
    ({"found": {"metadata": {"name": "postgresql", "deletionTimestamp": "2026-11-30T18:00:00Z"}}}, False, "is being deleted"),
    ({"found": WITH_ROLE}, False, "postgresql_user: Cluster 'postgresql' of someone else has the role 'mlflow' with the password in Secret 'theirs'"),
    ({"found": WITH_ROLE, "login": THEIR_SECRET}, False, ""),
])
def test_a_cluster_that_cannot_be_used_is_refused_in_one_sentence(given: dict[str, Any], has_data: bool, said: str) -> None:
    asked = cloudnative_pg(**given)
    message = DECISIONS["cloudnative_pg_problem"](asked | {"kubernetes": asked["kubernetes"] | {"has_data": has_data}})
    assert said in message
    assert bool(message) is bool(said)


@pytest.mark.parametrize(("given", "said"), [
    ({}, ""),
    ({"image": "own/postgres"}, "postgresql_image: 'own/postgres' does not say its version"),
    ({"image": "host:5000/postgres"}, "does not say its version"),
    ({"image": "postgres:latest"}, "does not say its version"),
    ({"image": "postgres:16.4@sha256:0"}, "postgresql_image: 'postgres:16.4@sha256:0' is PostgreSQL 16; use 17 or later"),
    ({"image": "postgres:17-bookworm"}, ""),
    ({"name": "p" * 51}, "use at most 50 characters"),
    ({"port": 5433}, "postgresql_port: 5433"),
    ({"instances": 0}, "postgresql_instances: 0"),
    ({"user": "postgres"}, "postgresql_user: 'postgres' is reserved"),
    ({"database": "template1"}, "postgresql_database: 'template1' is reserved"),
    ({"settings": {"max_connections": 5}}, "set postgresql_max_connections instead"),
])
def test_what_cloudnative_pg_would_refuse_is_said_before(given: dict[str, Any], said: str) -> None:
    found = DECISIONS["cloudnative_pg_problems"](cloudnative_pg(**given))
    assert len(found) == bool(said)
    assert all(said in each for each in found)


def test_mlflow_verifies_the_server_and_restarts_for_another_password_alone() -> None:
    asked = cloudnative_pg()
    access = DECISIONS["cloudnative_pg_access"](asked)
    assert access["environment"] == {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/etc/mlflow/postgresql/ca.crt"}
    # The Secret has the authority's key, too.
    assert access["volumes"][0]["source"]["secret"] == {"secretName": "postgresql-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    assert access["secret_environment"] == {"PGPASSWORD": {"name": "postgresql-user", "key": "password"}}
    assert access["checksum"] == DECISIONS["cloudnative_pg_access"](asked | {"found": {"resources": [WITHOUT_ROLE]}})["checksum"]
    assert access["checksum"] != DECISIONS["cloudnative_pg_access"](asked | {"password": "q"})["checksum"]
    assert DECISIONS["cloudnative_pg"](asked)["host"] == "postgresql-rw.mlflow.svc"


def test_a_removal_keeps_the_cluster_with_what_it_needs_unless_it_is_told_twice() -> None:
    owned = [
        {"api_version": made["apiVersion"], "kind": made["kind"], "name": made["metadata"]["name"], "instance": "postgresql"}
        for made in objects().values()
    ] + [{"api_version": "apps/v1", "kind": "Deployment", "name": "mlflow", "instance": "mlflow"}]
    given = {"owned": {"owned": owned, "foreign": [], "namespace": "own"}, "name": "mlflow"}
    once = kubernetes.DECISIONS["removal"](given)
    assert [each["name"] for each in once["absent"]] == ["mlflow"]
    assert once["namespace_goes"] is False
    assert "kept with its data: Cluster postgresql (-e remove_databases=yes removes it)" in once["lines"]
    twice = kubernetes.DECISIONS["removal"](given | {"with_databases": True})
    assert len(twice["absent"]) == len(owned)
    assert twice["namespace_goes"] is True


def test_users_additions_reach_what_the_operator_makes() -> None:
    asked = cloudnative_pg()
    asked["kubernetes"] = asked["kubernetes"] | {"additions": {"labels": {"team": "ml"}, "annotations": {}, "patches": []}}
    cluster = next(made for made in DECISIONS["cloudnative_pg_objects"](asked) if made["kind"] == "Cluster")
    assert cluster["spec"]["inheritedMetadata"] == {"labels": {"team": "ml"}}
