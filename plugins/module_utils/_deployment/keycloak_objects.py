# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Keycloak in the cluster: one pod on the deployment's PostgreSQL, behind an Ingress of its own. No I/O."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster, Database
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.keycloak import (
    ADMIN_PASSWORD,
    DATABASE,
    DATABASE_PASSWORD,
    HTTP,
    HTTPS,
    MANAGEMENT,
    Given,
    Keycloak,
    of,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, checksum, mebibytes, read, url_host
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Container, Object, Volume, described

#: The user of the official image, where its files are, and where its certificate is mounted.
USER, HOME, CERTIFICATE = 1000, "/opt/keycloak", "/etc/keycloak/tls"
NETWORKING, CHECKSUM = "networking.k8s.io/v1", "mlops.mlflow/checksum"
#: Its connections to PostgreSQL. Its own default, 100, is half of what the server allows.
CONNECTIONS = 10


@dataclass(frozen=True)
class Provider:
    """The Keycloak of a deployment: the role's variables, and what it stands on."""

    keycloak: Keycloak
    cluster: Cluster
    postgresql: Database
    #: The values of its Secret, and the checksum of its certificate within the cluster.
    secrets: Mapping[str, str] = field(default_factory=dict)
    certificate_checksum: str = ""

    @property
    def checksum(self) -> str:
        """What changes if the pod must restart although its specification stays the same."""
        return checksum(as_json([self.secrets.get(DATABASE_PASSWORD, ""), self.certificate_checksum, self.postgresql.checksum]))


def certificate_hosts(given: Given) -> list[str]:
    """Return the names in the certificate within the cluster."""
    keycloak, namespace = of(given), given["kubernetes"]["namespace"]
    service = keycloak.service(namespace)
    return [keycloak.name, f"{keycloak.name}.{namespace}", service, f"{service}.cluster.local"]


def decided(given: Given) -> list[Object]:
    """The objects, from what the role gives."""
    keycloak = of(given)
    certificate = given["certificates"].get(keycloak.certificate, {})
    return objects(Provider(
        keycloak, read(Cluster, given["kubernetes"], ""), read(Database, given["postgresql"], ""), given["secrets"], certificate.get("checksum", ""),
    ))  # fmt: skip


def objects(provider: Provider) -> list[Object]:
    """Return the objects in the order in which they are applied."""
    keycloak = provider.keycloak
    return [
        workload.service_account(keycloak.name, keycloak.identity.labels), _service(keycloak), _network_policy(provider), _deployment(provider),
        _ingress(keycloak),
    ]  # fmt: skip


def _service(keycloak: Keycloak) -> Object:
    made = workload.service(keycloak.identity, keycloak.name, "http", HTTP)
    made["spec"]["ports"].append({"name": "https", "port": HTTPS, "targetPort": "https", "protocol": "TCP"})
    return made


def _network_policy(provider: Provider) -> Object:
    """The ingress controller gets in without TLS, as to every server behind it; pods, and this host, by TLS alone."""
    keycloak, cluster = provider.keycloak, provider.cluster
    egress = [*cluster.dns_egress, *provider.postgresql.egress, *keycloak.egress]
    made = workload.network_policy(keycloak.identity, keycloak.name, egress, "http", keycloak.ingress_callers)
    callers = [*keycloak.callers, *workload.addresses(cluster.host_addresses)]
    made["spec"]["ingress"].append({"ports": [{"port": "https", "protocol": "TCP"}], "from": callers})
    return made


def _deployment(provider: Provider) -> Object:
    keycloak, labels = provider.keycloak, provider.keycloak.identity.labels
    copied, server = _containers(provider)
    pod = workload.pod(keycloak.name, workload.user(USER), [server], initContainers=[copied.spec], terminationGracePeriodSeconds=60)
    made = described("apps/v1", "Deployment", keycloak.name, labels, spec={
        "replicas": 1,
        "revisionHistoryLimit": 3,
        # Its cache is local: two of them would not know of each other's changes. Sessions are in the database, and outlive the pod.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": keycloak.identity.selector},
        "template": {"metadata": {"labels": labels, "annotations": {CHECKSUM: provider.checksum}}, "spec": pod},
    })  # fmt: skip
    made["metadata"]["annotations"] = {DATABASE: keycloak.database}
    return made


def _containers(provider: Provider) -> tuple[Container, Container]:
    """The one that copies what the server builds anew for its database and its options, and the server, whose own files are read-only."""
    keycloak, database = provider.keycloak, provider.postgresql
    resources = workload.with_storage(keycloak.resources, "100Mi")
    built = workload.scratch("build", f"{HOME}/lib/quarkus", "100Mi")
    copy = Container("copy", keycloak.image, ["cp", "-R", f"{HOME}/lib/quarkus/.", "/build"], [Volume("build", "/build", built.source)], resources)
    certificate = {"secret": {"secretName": keycloak.certificate, "items": [{"key": key, "path": key} for key in ("tls.crt", "tls.key")]}}
    volumes = [
        built, workload.scratch("data", f"{HOME}/data", "100Mi"), workload.scratch("tmp", "/tmp", "100Mi"),
        Volume("certificate", CERTIFICATE, certificate, read_only=True), *database.mounts,
    ]  # fmt: skip

    def probe(path: str, **more: int) -> Object:
        return {"httpGet": {"path": f"/health/{path}", "port": "management", "scheme": "HTTPS"}, "timeoutSeconds": 5, **more}

    server = Container("keycloak", keycloak.image, [f"{HOME}/bin/kc.sh"], volumes, resources, _environment(keycloak, database), {
        "args": ["start"],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in (
            ("http", HTTP), ("https", HTTPS), ("management", MANAGEMENT),
        )],
        # It builds and migrates before it answers, for ten minutes at most.
        "startupProbe": probe("started", periodSeconds=5, failureThreshold=120),
        "livenessProbe": probe("live", periodSeconds=20, failureThreshold=3),
        "readinessProbe": probe("ready", periodSeconds=5, failureThreshold=3),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })  # fmt: skip
    return copy, server


def _environment(keycloak: Keycloak, database: Database) -> list[Object]:
    """Its configuration, of which nothing is an argument."""
    limit = mebibytes((keycloak.resources.get("limits") or {}).get("memory") or "1Gi")
    plain = {
        "KC_DB": "postgres", "KC_DB_URL": jdbc(keycloak, database), "KC_DB_USERNAME": keycloak.database,
        "KC_DB_POOL_INITIAL_SIZE": 1, "KC_DB_POOL_MAX_SIZE": CONNECTIONS, "KC_CACHE": "local", "KC_HEALTH_ENABLED": "true",
        # Browsers and tokens know one address; pods come by the Service's.
        "KC_HOSTNAME": keycloak.url, "KC_HOSTNAME_BACKCHANNEL_DYNAMIC": "true", "KC_PROXY_HEADERS": "xforwarded", "KC_HTTP_ENABLED": "true",
        "KC_HTTPS_CERTIFICATE_FILE": f"{CERTIFICATE}/tls.crt", "KC_HTTPS_CERTIFICATE_KEY_FILE": f"{CERTIFICATE}/tls.key",
        "KC_BOOTSTRAP_ADMIN_USERNAME": keycloak.admin_username,
        # The rest is for what Java needs besides its heap.
        "JAVA_OPTS_KC_HEAP": f"-Xms64m -Xmx{limit // 2}m",
    }  # fmt: skip
    secret = {"KC_DB_PASSWORD": DATABASE_PASSWORD, "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN_PASSWORD}
    return [
        *(workload.value(name, text) for name, text in plain.items()),
        *(workload.secret_value(name, keycloak.name, key) for name, key in secret.items()),
    ]


def jdbc(keycloak: Keycloak, database: Database) -> str:
    """Return the address of the database, as Java has it, with what MLflow's own connection says of TLS.

    >>> jdbc(Keycloak(), Database(host="fd00::1", environment={"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/ca.crt"}))
    'jdbc:postgresql://[fd00::1]:5432/keycloak?sslmode=verify-full&sslrootcert=%2Fca.crt'
    """
    names = {"PGSSLMODE": "sslmode", "PGSSLROOTCERT": "sslrootcert"}
    options = {there: database.environment[here] for here, there in names.items() if database.environment.get(here)}
    address = f"jdbc:postgresql://{url_host(database.host)}:{database.port}/{quote(keycloak.database, safe='')}"
    return f"{address}?{urlencode(options)}" if options else address


def _ingress(keycloak: Keycloak) -> Object:
    """The way in from outside: to the realm alone, unless the administration console is wanted there."""
    routes = ["/"] if keycloak.console else [f"/realms/{keycloak.realm}/", "/resources/"]
    traefik = {"traefik.ingress.kubernetes.io/router.entrypoints": "websecure", "traefik.ingress.kubernetes.io/router.tls": "true"}
    issuer = {f"cert-manager.io/{'cluster-issuer' if keycloak.tls_issuer_kind == 'ClusterIssuer' else 'issuer'}": keycloak.tls_issuer}
    backend = {"service": {"name": keycloak.name, "port": {"name": "http"}}}
    made = described(NETWORKING, "Ingress", keycloak.name, keycloak.identity.labels, spec={
        "ingressClassName": keycloak.ingress_class,
        "rules": [{"host": keycloak.host, "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend} for path in routes]}}],
        "tls": [{"hosts": [keycloak.host], "secretName": keycloak.public_certificate}],
    })  # fmt: skip
    made["metadata"]["annotations"] = {
        **(traefik if keycloak.ingress_class == "traefik" else {}), **(issuer if keycloak.tls == "cert_manager" else {}),
        **keycloak.ingress_annotations,
    }  # fmt: skip
    return made
