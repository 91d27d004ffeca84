"""What the role says of its public name to whoever looks at what others in the cluster have."""
from __future__ import annotations

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import ownership
from roles import CLUSTER, PUBLISHED, Role

HOST = "mlflow.example.com"


def test_the_role_claims_its_host_where_it_has_one() -> None:
    server = Role("mlflow_server", **CLUSTER, **PUBLISHED, mlflow_server_host=HOST)
    gateways = [{"name": "public", "namespace": "edge", "sectionName": "https"}, {"name": "own"}]
    for given, kind, entrances in (({}, "Ingress", ["traefik"]), ({"mlflow_server_gateways": gateways}, "HTTPRoute", ["edge/public", "own"])):
        claims = [ownership.Claim(**{"api_version": "v1", **claim}) for claim in server.said("mlflow_server_claims", **given)]
        assert [(claim.kind, claim.entrances) for claim in claims if claim.wanted and claim.host] == [(kind, entrances)]
        assert all(set(entry) <= {"kind", "name", "api_version"} for entry in server.decided("deployment", **given)["absent"])
    assert [one["kind"] for one in server.decided("deployment", mlflow_server_gateways=gateways)["rollouts"]] == ["Deployment", "HTTPRoute"]
