"""A role's variables and templates as Ansible renders them, without a host."""
from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).resolve().parents[3] / "roles"
#: What the role kubernetes publishes.
RUNTIME: dict[str, Any] = {
    "namespace": "mlflow", "deployment": "mlflow", "kubeconfig": "/etc/rancher/k3s/k3s.yaml", "reachable": True, "has_data": False,
    "node_addresses": ["10.0.0.1/32"], "host_addresses": ["10.0.0.1/32"], "dns_egress": [], "api_egress": [],
}
#: An inventory with one k3s server.
CLUSTER: dict[str, Any] = {"groups": {"k3s_server": ["a"]}, "inventory_hostname": "a", "ansible_check_mode": False, "kubernetes_runtime": RUNTIME}
#: What the roles postgresql and artifact_store publish with their defaults in a cluster, and the Secrets and certificates that they need for it.
PUBLISHED: dict[str, Any] = {
    "postgresql_connection": {
        "uri": "postgresql+psycopg2://mlflow@postgresql:5432/mlflow", "auth_uri": "postgresql+psycopg2://mlflow@postgresql:5432/mlflow_auth",
        "host": "postgresql", "address": "10.43.0.9", "port": 5432, "max_connections": 200, "admin_user": "postgres", "database": "mlflow",
        "auth_database": "mlflow_auth", "user": "mlflow", "admin_password": {"name": "postgresql", "key": "admin-password"},
        "environment": {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/etc/mlflow/postgresql/ca.crt"},
        "secret_environment": {"PGPASSWORD": {"name": "postgresql", "key": "password"}},
        "volumes": [{"name": "postgresql-ca", "mount_path": "/etc/mlflow/postgresql", "source": {"secret": {"secretName": "postgresql-tls"}}}],
        "egress": [], "checksum": "database", "certificate_ends": "2036-01-01",
    },
    "artifact_store_connection": {
        "destination": "s3://mlflow/artifacts", "bucket": "mlflow", "prefix": "artifacts", "endpoint_url": "http://minio:9000", "region": "us-east-1",
        "address_url": "http://10.43.0.8:9000", "is_empty": False, "environment": {"AWS_DEFAULT_REGION": "us-east-1"},
        "secret_environment": {"AWS_ACCESS_KEY_ID": {"name": "minio-mlflow", "key": "access-key"}}, "volumes": [], "egress": [], "checksum": "store",
    },
    "mlflow_image_reference": {"image": "localhost/mlflow-server:3.17.2-0123", "earlier": "", "pull_policy": "IfNotPresent", "hash": "0123"},
    "kubernetes_secrets": {
        "postgresql": {"password": "p", "admin-password": "a"},
        "minio-root": {"access-key": "admin", "secret-key": "r"}, "minio-mlflow": {"access-key": "mlflow", "secret-key": "s"},
        "seaweedfs-root": {"access-key": "admin", "secret-key": "r"}, "seaweedfs-mlflow": {"access-key": "mlflow", "secret-key": "s"},
        "seaweedfs-identities": {"s3.json": "{}"},
        "mlflow": {key: "k" for key in ("webhook-key", "crypto-passphrase", "flask-secret-key", "admin-password", "ingress-password")},
    },
    "kubernetes_certificates": {
        name: {"ca": "ca", "checksum": "sum", "digest": "digest", "ends": "2036-01-01", "renewed": False} for name in ("postgresql-tls", "mlflow-tls")
    },
}
_LOADER = DataLoader()


class Role:
    """A role's defaults and variables, and what a play gives it."""

    def __init__(self, name: str, **given: Any) -> None:
        # Not when this file is imported: from then on, Ansible imports the collection, where it may not have been found yet.
        with suppress(UserWarning):  # another test has done so
            init_plugin_loader()
        self.path = ROLES / name
        files = [self.path / "defaults" / "main.yml", self.path / "vars" / "main.yml", *sorted((self.path / "vars" / "main").glob("*.yml"))]
        self.variables: dict[str, Any] = {"role_path": str(self.path), "ansible_search_path": [str(self.path)]}
        for file in files:
            if file.exists():
                self.variables |= _LOADER.load_from_file(str(file), trusted_as_template=True) or {}
        self.variables |= given

    def said(self, expression: str, **given: Any) -> Any:
        """The value of a Jinja expression in the role."""
        return Templar(loader=_LOADER, variables=self.variables | given).template(trust_as_template("{{ " + expression + " }}"))

    def decided(self, decision: str, **given: Any) -> Any:
        """The decision of that name, from what the role gives for its decisions."""
        role = self.path.name
        return self.said(f"__{role}_given | mlops.mlflow.decide('{role}.{decision}')", **given)
