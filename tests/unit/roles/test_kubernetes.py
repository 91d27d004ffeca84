"""What the role kubernetes makes of what a cluster says, without one."""
from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import kubernetes_network

ROLE = Path(__file__).resolve().parents[3] / "roles" / "kubernetes"
with suppress(UserWarning):  # another test has done so
    init_plugin_loader()
LOADER = DataLoader()
VARIABLES: dict[str, Any] = LOADER.load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True)
RUNTIME = {"namespace": "mlflow", "node_addresses": ["10.0.0.1/32", "10.42.0.1/32"]}


def said(name: str, **variables: Any) -> Any:
    return Templar(loader=LOADER, variables=VARIABLES | variables).template(trust_as_template("{{ " + name + " }}"))


def service(**spec: Any) -> dict[str, Any]:
    """A Service db in namespace databases that maps 5432 to its pods' 6432."""
    port = {"port": 5432, "targetPort": 6432, "nodePort": 30432}
    base = {"type": "ClusterIP", "clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9"], "selector": {"app": "db"}, "ports": [port]}
    return {"metadata": {"name": "db", "namespace": "databases"}, "spec": base | spec, "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}}}


def way(host: str, port: int = 5432, services: list[dict[str, Any]] | None = None) -> Any:
    """The rules for a host; the cluster has the Service of above where nothing else is said."""
    found = {"resources": [service()] if services is None else services}
    return said("__kubernetes_egress_given | mlops.mlflow.decide('kubernetes.egress')", kubernetes_runtime=RUNTIME, kubernetes_egress_host=host,
                kubernetes_egress_port=port, __kubernetes_services=found)


PODS = [{
    "ports": [{"port": 6432, "protocol": "TCP"}],
    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "databases"}}, "podSelector": {"matchLabels": {"app": "db"}}}],
}]


@pytest.mark.parametrize(("host", "port"), [
    ("db.databases", 5432), ("db.databases.svc", 5432), ("db.databases.svc.cluster.local", 5432), ("10.43.0.9", 5432), ("10.0.0.9", 5432),
    ("10.0.0.1", 30432),
])
def test_the_way_to_a_service_is_to_its_pods(host: str, port: int) -> None:
    """By each of its names and addresses: a policy sees the pod behind it, and the pod's port."""
    assert way(host, port) == PODS


def test_the_pods_of_a_headless_service_are_reached_by_its_own_port() -> None:
    assert way("db.databases", services=[service(clusterIP="None", clusterIPs=["None"])])[0]["ports"] == [{"port": 5432, "protocol": "TCP"}]


def test_a_service_without_pods_of_its_own_leads_anywhere_by_its_port() -> None:
    assert way("db.databases", services=[service(selector=None)]) == [{"ports": [{"port": 6432, "protocol": "TCP"}]}]


@pytest.mark.parametrize("host", ["db", "db.example.com", "db.other.svc"])
def test_a_name_outside_is_known_by_its_port_alone(host: str) -> None:
    assert way(host) == [{"ports": [{"port": 5432, "protocol": "TCP"}]}]


@pytest.mark.parametrize(("host", "cidr"), [("192.0.2.7", "192.0.2.7/32"), ("2001:db8::7", "2001:db8::7/128")])
def test_an_address_outside_is_the_only_one(host: str, cidr: str) -> None:
    assert way(host) == [{"ports": [{"port": 5432, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": cidr}}]}]


def test_who_may_not_see_services_lets_pods_of_all_namespaces_be_reached() -> None:
    """Not to break what works: the address may be a Service's."""
    rules = said("__kubernetes_egress_given | mlops.mlflow.decide('kubernetes.egress')", kubernetes_runtime=RUNTIME, kubernetes_egress_port=5432,
                 kubernetes_egress_host="10.43.0.9", __kubernetes_services={"failed": True})
    assert rules == [{"ports": [{"port": 5432, "protocol": "TCP"}]}, {"to": [{"namespaceSelector": {}}]}]


def node(address: str, network: str) -> dict[str, Any]:
    return {"spec": {"podCIDRs": [network]}, "status": {"addresses": [{"type": "InternalIP", "address": address}]}}


NODES = {"resources": [node("10.0.0.1", "10.42.0.0/24"), node("10.0.0.2", "10.42.1.0/24")]}
FIRST = ["10.0.0.1/32", "10.42.0.0/32", "10.42.0.1/32"]


def addresses(own: dict[str, str]) -> dict[str, list[str]]:
    """Those of all nodes and of this host, which prints ``own``."""
    return kubernetes_network.node_addresses(NODES["resources"], own["stdout"])


def test_this_hosts_addresses_are_those_of_its_node() -> None:
    """Before there is a bridge for pods on it, too."""
    own = {"stdout": "1: lo    inet 127.0.0.1/8 scope host lo\n2: eth0    inet 10.0.0.1/24 brd 10.0.0.255 scope global eth0\n"}
    assert addresses(own) == {"all": sorted([*FIRST, "10.0.0.2/32", "10.42.1.0/32", "10.42.1.1/32"]), "host": FIRST}


def test_a_host_that_is_no_node_has_none() -> None:
    own = {"stdout": "2: eth0    inet 192.0.2.4/24 scope global eth0\n"}
    assert addresses(own)["host"] == []


HELD = {"resources": [{"metadata": {}, "data": {"tls.crt": "b25l", "ca.crt": "Y2E="}}]}
ONE = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # of the text one


def checksum(authority: str, hosts: list[str], **variables: Any) -> Any:
    """The checksum of a certificate that ends soon, for db, in whose place one of that authority comes."""
    return said("__kubernetes_wanted.published.checksum", **{
        "kubernetes_certificate_name": "db-tls", "kubernetes_labels": {}, "kubernetes_annotations": {}, "kubernetes_patches": [],
        "__kubernetes_secret": HELD, "kubernetes_certificate_hosts": hosts, "ansible_check_mode": False,
        "__kubernetes_certificate": {"valid_at": {"renewal": False}, "subject_alt_name": ["DNS:db"]},
        "__kubernetes_authority": {"valid_at": {"renewal": True, "whole": True}},
        "__kubernetes_signed": {"authority": authority, "certificate": "two"}, **variables,
    })


def test_a_renewed_certificate_restarts_nobody() -> None:
    """Of the same authority and for the same names, now and at the next renewal, and in check mode, where nothing is signed."""
    noted = {"resources": [HELD["resources"][0] | {"metadata": {"annotations": {"mlops.mlflow/checksum": "of-the-first"}}}]}
    assert checksum("ca", ["db"]) == ONE
    assert checksum("ca", ["db"], __kubernetes_secret=noted) == "of-the-first"
    assert checksum("", ["db"], ansible_check_mode=True, __kubernetes_signed={}) == ONE


@pytest.mark.parametrize(("authority", "hosts"), [("another", ["db"]), ("ca", ["db", "db.databases"])])
def test_another_authority_or_name_does(authority: str, hosts: list[str]) -> None:
    assert checksum(authority, hosts) not in ("", ONE)
