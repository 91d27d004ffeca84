"""What is said of PostgreSQL's variables, and what MLflow is told of each provider."""
from __future__ import annotations

from typing import Any

import pytest
from deployments import postgresql

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.postgresql import DECISIONS

EXTERNAL: dict[str, Any] = {"provider": "external", "host": "db.example.com", "password": "p", "ca": "-----BEGIN CERTIFICATE-----"}


@pytest.mark.parametrize("given", [
    {}, {"name": "p" * 53}, EXTERNAL, EXTERNAL | {"ssl_mode": "require", "ca": ""}, {"provider": "embedded"},
])
def test_nothing_is_said_where_nothing_is_wrong(given: dict[str, Any]) -> None:
    assert DECISIONS["problems"](postgresql(**given)) == []


@pytest.mark.parametrize(("given", "said"), [
    ({"auth_database": "mlflow"}, "postgresql_auth_database: 'mlflow' is the same as postgresql_database; choose another name"),
    ({"name": "p" * 54}, "use at most 53 lower-case letters"),
    ({"name": "p-"}, "postgresql_name: 'p-' is not a valid Service name"),
    ({"callers": []}, "postgresql_callers: is empty, which Kubernetes treats as everyone"),
    (EXTERNAL | {"host": ""}, "postgresql_host: is empty, but postgresql_provider is external; set it"),
    (EXTERNAL | {"password": ""}, "postgresql_password: is empty, but postgresql_provider is external; set it"),
    (EXTERNAL | {"ca": ""}, "postgresql_ca: contains no certificate, but postgresql_ssl_mode is verify-full; set it to the text of the PEM file"),
    (EXTERNAL | {"ca": "/etc/ca.pem", "ssl_mode": "verify-ca"}, "postgresql_ca: contains no certificate, but postgresql_ssl_mode is verify-ca"),
])
def test_one_sentence_says_what_is_wrong_and_what_to_do(given: dict[str, Any], said: str) -> None:
    found = DECISIONS["problems"](postgresql(**given))
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize("ca", ["", "-----BEGIN CERTIFICATE-----"])
def test_an_external_database_is_reached_from_the_cluster_and_from_the_embedded_server(ca: str) -> None:
    given = postgresql(**EXTERNAL | {"ca": ca})
    cluster, embedded = (DECISIONS["external"](given | where) for where in ({}, {"runtime": "embedded", "embedded": {"home": "/x"}}))
    assert cluster["secret_environment"] == {"PGPASSWORD": {"name": "postgresql", "key": "password"}}
    assert embedded["secret_environment"] == {"PGPASSWORD": {"file": "/x/secrets/postgresql_external_password"}}
    assert cluster["environment"].get("PGSSLROOTCERT") == ("/etc/mlflow/postgresql/ca.crt" if ca else None)
    assert embedded["environment"].get("PGSSLROOTCERT") == ("/x/postgresql-ca.crt" if ca else None)
    assert [volume["mount_path"] for volume in cluster["volumes"]] == (["/etc/mlflow/postgresql"] if ca else [])
    assert "volumes" not in embedded


def test_what_is_published_changes_with_the_password_and_the_certificate_alone() -> None:
    given = postgresql()
    before = DECISIONS["statefulset"](given)
    assert before["checksum"] == DECISIONS["statefulset"](given | {"address": "10.43.0.1"})["checksum"]
    for changed in ({"secrets": given["secrets"] | {"password": "q"}}, {"certificate": given["certificate"] | {"checksum": "other"}}):
        assert DECISIONS["statefulset"](given | changed)["checksum"] != before["checksum"]
    assert "p" not in before.values()


@pytest.mark.parametrize(("provider", "kinds"), [
    ("statefulset", ["Secret", "Secret", "Secret", "PersistentVolumeClaim", "ServiceAccount", "ConfigMap", "Service", "Service", "NetworkPolicy",
                     "StatefulSet"]),
    ("external", ["Secret"]), ("embedded", []),
])
def test_each_provider_claims_what_it_may_change(provider: str, kinds: list[str]) -> None:
    claims = DECISIONS["claims"]({"provider": provider, "name": "postgresql"})
    assert [claim["kind"] for claim in claims] == kinds
    assert all(claim["option"] == "postgresql_name" for claim in claims)
