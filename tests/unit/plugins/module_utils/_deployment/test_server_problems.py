"""What is said of the variables of a server: nothing where nothing is wrong, and else one sentence with a remedy."""
from __future__ import annotations

from typing import Any

import pytest
from deployments import server

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import server_problems
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_decisions import DECISIONS

PUBLIC: dict[str, Any] = {"host": "mlflow.example.com", "ingress_auth": "basic"}
ROUTE: dict[str, Any] = {"host": "mlflow.example.com", "auth": "basic", "gateways": [{"name": "public"}], "tls": "external"}


def problems(**given: Any) -> list[str]:
    found: list[str] = DECISIONS["problems"](server(**given))
    return found


@pytest.mark.parametrize("given", [
    {},
    PUBLIC,
    ROUTE,
    {"host": "mlflow.example.com", "auth": "basic", "ingress_class": "nginx"},
    {"host": "mlflow.example.com", "middlewares": ["sso/forward-auth"]},
    {"host": "mlflow.example.com", "ingress_auth": "external", "ingress_class": "haproxy"},
    ROUTE | {"middlewares": ["own"], "tls": "none"},
    PUBLIC | {"tls": "cert_manager", "tls_issuer": "letsencrypt"},
    PUBLIC | {"tls": "provided", "tls_certificate": "c", "tls_key": "k"},
    {"replicas": 3, "max_replicas": 3, "workers": 1},
    {"replicas": "2", "max_replicas": "4", "workers": "1"},
    {"service_monitor_enabled": True, "metrics_enabled": True},
    {"name": "m" * 40},
    {"runtime": "embedded", "name": "", "image": ""},
])
def test_nothing_is_said_where_nothing_is_wrong(given: dict[str, Any]) -> None:
    assert problems(**given) == []


@pytest.mark.parametrize(("given", "said"), [
    ({"name": "m" * 41}, "mlflow_server_name: 'mmmmmmm"),
    ({"name": "1mlflow"}, "mlflow_server_name: '1mlflow' is not a valid Service name; use at most 40"),
    ({"name": "mlflow\n"}, "mlflow_server_name: 'mlflow"),
    ({"image": ""}, "mlflow_server_image: no image is set"),
    ({"replicas": 0}, "mlflow_server_replicas: 0 pods cannot serve requests"),
    (PUBLIC | {"host": "https://mlflow.example.com"}, "mlflow_server_host: 'https://mlflow.example.com' is not a DNS name"),
    (PUBLIC | {"host": "MLflow.example.com"}, "is not a DNS name; use one in lower-case letters"),
    ({"host": "mlflow.example.com"}, "exposes MLflow without authentication; set mlflow_server_auth: basic"),
    (PUBLIC | {"auth": "basic"}, "would both read the one Authorization header"),
    (PUBLIC | {"ingress_class": "nginx"}, "mlflow_server_ingress_auth: basic needs Traefik, but mlflow_server_ingress_class is 'nginx'"),
    ({"host": "m.example", "middlewares": ["x"], "ingress_class": "nginx"}, "mlflow_server_middlewares: they need Traefik"),
    (ROUTE | {"middlewares": ["sso/a", "b"]}, "only Middlewares in its own namespace, but sso/a names another; create one there"),
    (ROUTE | {"tls": "generated"}, "mlflow_server_tls: 'generated' is for an Ingress"),
    (PUBLIC | {"tls": "cert_manager"}, "no issuer is set; set the name of a ClusterIssuer"),
    (PUBLIC | {"tls": "provided", "tls_certificate": "c"}, "provided needs mlflow_server_tls_certificate and mlflow_server_tls_key"),
    ({"metrics_enabled": True, "metrics_port": 5000}, "mlflow_server_metrics_port: 5000 is mlflow_server_port, too; set another, such as 9464"),
    ({"metrics_backup_hours": 0}, "mlflow_server_metrics_backup_hours: 0 is too short"),
    ({"metrics_user": "counter"}, "mlflow_server_metrics_user: is 'counter', and mlflow_server_metrics_secret names ''; set both"),
    ({"metrics_secret": {"name": "x"}}, "mlflow_server_metrics_user: is '', and mlflow_server_metrics_secret names 'x'; set both"),
    ({"runtime": "embedded", "metrics_user": "counter", "metrics_secret": {"name": "x"}}, "mlflow_server_metrics_user: 'counter' is for Kubernetes"),
    ({"service_monitor_enabled": "yes"}, "mlflow_server_service_monitor_enabled: there are no metrics to collect"),
    ({"replicas": 3, "max_replicas": 2}, "mlflow_server_max_replicas: 2 is below mlflow_server_replicas, 3; raise it, or set 0"),
    ({"workers": 4, "pool_size": 20}, "2 pods, one of them while a rolling update lasts, × 4 workers × 2 engines × (20 + 5) connections = 400, but"),
    ({"workers": 4, "pool_size": 30, "strategy": "Recreate"}, "mlflow_server_pool_size: 1 pods × 4 workers"),
    ({"runtime": "embedded", "workers": 9, "pool_size": 20}, "mlflow_server_pool_size: 9 workers × 2 engines"),
    ({"workers": 0}, "one of 0, 20, 5 is below 1, which MLflow treats as unset; set 1 or more"),
    ({"max_overflow": 0}, "one of 1, 20, 0 is below 1"),
])
def test_one_sentence_says_what_is_wrong_and_what_to_do(given: dict[str, Any], said: str) -> None:
    found = problems(**given)
    assert len(found) == 1, found
    assert said in found[0]
    assert found[0].startswith("mlflow_server_")
    assert ";" in found[0] or "," in found[0]


@pytest.mark.parametrize(("missing", "named"), [("postgresql", "postgresql"), ("artifact_store", "artifact_store")])
def test_a_connection_that_is_not_published_comes_first(missing: str, named: str) -> None:
    found = DECISIONS["problems"](server(replicas=0) | {missing: {}})
    assert found == [
        f"{named}_connection: it is not set; run the role mlops.mlflow.{named} earlier in the same play, or the playbook mlops.mlflow.site, which "
        "runs all roles in order"
    ]


CERTIFICATE = {
    "public_key": "K\n", "expired": False, "valid_at": {"now": True}, "subject_alt_name": ["DNS:mlflow.example.com"], "not_after": "20360102030405Z",
    "not_before": "20360101000000Z",
}
KEY = {"public_key": "K"}


def said_of(certificate: dict[str, Any], key: dict[str, Any]) -> list[str]:
    return server_problems.certificate_problems(Server(host="mlflow.example.com"), certificate, key)


@pytest.mark.parametrize("names", [["DNS:mlflow.example.com", "DNS:other"], ["DNS:*.example.com"]])
def test_a_certificate_for_the_host_is_taken(names: list[str]) -> None:
    assert said_of(CERTIFICATE | {"subject_alt_name": names}, KEY) == []


@pytest.mark.parametrize(("certificate", "key", "said"), [
    ({"failed": True}, KEY, "mlflow_server_tls_certificate: it cannot be read as a PEM certificate"),
    (CERTIFICATE, {"failed": True}, "mlflow_server_tls_key: it cannot be read as a PEM key without a passphrase"),
    (CERTIFICATE, {"public_key": "L"}, "mlflow_server_tls_key: it is not the key of mlflow_server_tls_certificate"),
    (CERTIFICATE | {"expired": True, "valid_at": {"now": False}}, KEY, "it expired at 2036-01-02 03:04 UTC; renew it"),
    (CERTIFICATE | {"valid_at": {"now": False}}, KEY, "it is valid from 2036-01-01 00:00 UTC, which is in the future"),
    (CERTIFICATE | {"subject_alt_name": None}, KEY, "it is for no name, not for mlflow_server_host 'mlflow.example.com'"),
    (CERTIFICATE | {"subject_alt_name": ["DNS:*.com", "DNS:x"]}, KEY, "it is for DNS:*.com, DNS:x, not for"),
])
def test_a_certificate_that_browsers_would_refuse_is_refused_first(certificate: dict[str, Any], key: dict[str, Any], said: str) -> None:
    found = said_of(certificate, key)
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(("given", "kinds"), [
    ({}, []),
    (PUBLIC, ["Middleware"]),
    (PUBLIC | {"ingress_class": "nginx", "ingress_auth": "external"}, []),
    (ROUTE, ["HTTPRoute"]),
    ({"host": "m.example", "auth": "basic", "http_redirect": True}, ["Middleware"]),
    ({"host": "m.example", "auth": "basic", "http_redirect": "no"}, []),
    (PUBLIC | {"tls": "cert_manager"}, ["Middleware", "Certificate"]),
    ({"service_monitor_enabled": True}, ["ServiceMonitor", "PrometheusRule"]),
    ({"runtime": "embedded"} | PUBLIC, []),
])
def test_kinds_that_not_every_cluster_has_are_looked_for(given: dict[str, Any], kinds: list[str]) -> None:
    needed = DECISIONS["needs"](server(**given))["kinds"]
    assert [each["kind"] for each in needed] == kinds
    assert all(f"the kind {each['kind']} of {each['api_version']}; " in each["says"] for each in needed)


def test_the_variable_that_needs_the_middleware_is_named() -> None:
    said = [DECISIONS["needs"](server(**given))["kinds"][0]["says"] for given in (PUBLIC, {"host": "m.example", "auth": "basic"})]
    assert [each.partition(":")[0] for each in said] == ["mlflow_server_ingress_auth", "mlflow_server_http_redirect"]
