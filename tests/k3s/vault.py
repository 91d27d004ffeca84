"""Vault, as OpenBao stands for it, and External Secrets, in namespaces of their own. Both are the real ones, built by tests/hosts."""
from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster import Cluster, CommandError
from host_images import bring
from images import images
from loopback import Authority
from others import apply, thing
from parts import parts

VAULTS, OPERATORS = "vault-openbao", "vault-operator"
URL, STORE = f"https://openbao.{VAULTS}.svc:8200", "vault-story"
CONFIGURATION = """
storage "inmem" {}
disable_mlock = true
api_addr = "https://127.0.0.1:8200"
listener "tcp" {
  address = "0.0.0.0:8200"
  tls_cert_file = "/vault/tls.crt"
  tls_key_file = "/vault/tls.key"
}
"""
LABELS = {"app.kubernetes.io/name": "openbao"}
RULES: list[dict[str, Any]] = [
    {"apiGroups": ["external-secrets.io", "generators.external-secrets.io"], "resources": ["*"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["serviceaccounts", "namespaces", "configmaps"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch", "create", "update", "delete", "patch"]},
    {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]


def _bound(account: str, namespace: str, role: str) -> dict[str, Any]:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    subjects = [{"kind": "ServiceAccount", "name": account, "namespace": namespace}]
    return thing("ClusterRoleBinding", namespace, api_version="rbac.authorization.k8s.io/v1", roleRef=reference, subjects=subjects)


def _objects(certificate: str, ca: str) -> list[dict[str, Any]]:
    openbao, operator = (images.ON_DEMAND[name].names[0] for name in ("openbao", "external-secrets"))
    first, begin, key = certificate.partition("-----BEGIN PRIVATE KEY-----")
    environment = {"BAO_ADDR": URL, "BAO_CACERT": "/vault/ca.crt", "HOME": "/tmp"}
    bao = {
        "name": "openbao", "image": openbao, "args": ["server", "-config=/vault/vault.hcl"],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "readinessProbe": {"tcpSocket": {"port": 8200}, "periodSeconds": 1}, "volumeMounts": [{"name": "vault", "mountPath": "/vault"}],
    }  # fmt: skip
    given = {"ca.crt": ca, "tls.crt": first, "tls.key": begin + key, "vault.hcl": CONFIGURATION}
    volume = {"name": "vault", "secret": {"secretName": "openbao"}}
    vault = thing("Pod", "openbao", VAULTS, labels=LABELS, spec={"serviceAccountName": "openbao", "containers": [bao], "volumes": [volume]})
    container = {"name": "external-secrets", "image": operator, "args": ["--concurrent=2"]}
    return [
        thing("Namespace", VAULTS), thing("Namespace", OPERATORS),
        # Vault asks the API server whose token it was given.
        thing("ServiceAccount", "openbao", VAULTS), _bound("openbao", VAULTS, "system:auth-delegator"),
        thing("Secret", "openbao", VAULTS, stringData=given),
        thing("Service", "openbao", VAULTS, spec={"selector": LABELS, "ports": [{"port": 8200}]}), vault,
        thing("ServiceAccount", "external-secrets", OPERATORS), _bound("external-secrets", OPERATORS, OPERATORS),
        thing("ClusterRole", OPERATORS, api_version="rbac.authorization.k8s.io/v1", rules=RULES),
        thing("Pod", "external-secrets", OPERATORS, spec={"serviceAccountName": "external-secrets", "containers": [container]}),
    ]  # fmt: skip


@dataclass
class Vault:
    """Vault and External Secrets, in a cluster."""

    cluster: Cluster
    ca: str
    token: str = ""
    unseal_key: str = ""
    #: The pod of External Secrets.
    operator: dict[str, Any] = field(default_factory=dict)

    def run(self, *words: str, stdin: str = "") -> str:
        """What the command-line client prints, in Vault's own pod."""
        exec_ = f"k3s kubectl --namespace {VAULTS} exec --stdin openbao -- env BAO_TOKEN={self.token} bao"
        return self.cluster.run(f"{exec_} {shlex.join(words)}", stdin=stdin)

    def begin(self) -> None:
        """Make its keys, and open it, with a KV engine and Kubernetes' authentication."""
        made = json.loads(self.run("operator", "init", "-key-shares=1", "-key-threshold=1", "-format=json"))
        self.token, self.unseal_key = made["root_token"], made["unseal_keys_b64"][0]
        self.run("operator", "unseal", self.unseal_key)
        self.run("secrets", "enable", "-path=secret", "kv-v2")
        self.run("auth", "enable", "kubernetes")
        self.run("write", "auth/kubernetes/config", "kubernetes_host=https://kubernetes.default.svc")

    def values(self, path: str) -> dict[str, str]:
        """What Vault has there; empty if there is nothing."""
        try:
            found: dict[str, str] = json.loads(self.run("kv", "get", "-format=json", "-mount=secret", path))["data"]["data"]
        except CommandError:
            return {}
        return found

    def put(self, path: str, **values: str) -> None:
        """Change some of the values there."""
        self.run("kv", "patch", "-mount=secret", path, *(f"{key}={value}" for key, value in values.items()))

    @contextmanager
    def sealed(self) -> Iterator[None]:
        """Vault while it is sealed."""
        self.run("operator", "seal")
        try:
            yield
        finally:
            self.run("operator", "unseal", self.unseal_key)

    @contextmanager
    def without_the_operator(self) -> Iterator[None]:
        """Vault while External Secrets is down."""
        kubectl = f"k3s kubectl --namespace {OPERATORS}"
        self.cluster.run(f"{kubectl} delete pod external-secrets --timeout=60s")
        try:
            yield
        finally:
            apply(self.cluster, [self.operator])
            self.cluster.run(f"{kubectl} wait pod external-secrets --for=condition=Ready --timeout=110s")

    def let_in(self, namespace: str, path: str, capabilities: str = '"create", "read", "update"') -> None:
        """Let the service account ``credentials`` of the namespace read the path, and write it."""
        rules = "".join(f'path "secret/{kind}/{path}/*" {{ capabilities = [{capabilities}] }}\n' for kind in ("data", "metadata"))
        self.run("policy", "write", path, "-", stdin=rules)
        bound = ["bound_service_account_names=credentials", f"bound_service_account_namespaces={namespace}"]
        self.run("write", "auth/kubernetes/role/" + path, *bound, f"token_policies={path}", "token_ttl=10m")

    def cluster_store(self) -> str:
        """The name of a ClusterSecretStore of somebody else's, which all namespaces may use."""
        provider = {
            "server": URL, "path": "secret", "version": "v2",
            "caProvider": {"type": "Secret", "name": "vault-ca", "namespace": OPERATORS, "key": "ca.crt"},
            "auth": {"tokenSecretRef": {"name": "vault-token", "namespace": OPERATORS, "key": "token"}},
        }  # fmt: skip
        apply(self.cluster, [
            thing("Secret", "vault-ca", OPERATORS, stringData={"ca.crt": self.ca}),
            thing("Secret", "vault-token", OPERATORS, stringData={"token": self.token}),
            thing("ClusterSecretStore", STORE, api_version="external-secrets.io/v1", spec={"provider": {"vault": provider}}),
        ])  # fmt: skip
        return STORE


@contextmanager
def vault(cluster: Cluster, folder: Path) -> Iterator[Vault]:
    """Vault with a certificate, and External Secrets with its definitions; both are removed at the end. Their files are in the folder."""
    authority = Authority(folder)
    certificate = authority.issue("vault", [f"openbao.{VAULTS}.svc"]).read_text()
    definitions = (parts.part("external-secrets-crds") / "external-secrets-crds.yaml").read_text()
    made = Vault(cluster, authority.path.read_text().partition("-----BEGIN PRIVATE KEY-----")[0])
    try:
        bring(cluster, "openbao", "external-secrets")
        cluster.run("k3s kubectl apply --server-side --filename -", stdin=definitions)
        objects = _objects(certificate, made.ca)
        made.operator = objects[-1]
        apply(cluster, objects)
        for namespace, pod in ((VAULTS, "openbao"), (OPERATORS, "external-secrets")):
            cluster.run(f"k3s kubectl --namespace {namespace} wait pod {pod} --for=condition=Ready --timeout=120s", timeout=130)
        made.begin()
        yield made
    finally:
        # Its own objects go while it still acts on them.
        with suppress(CommandError):
            cluster.run("k3s kubectl delete clustersecretstore --all --ignore-not-found --timeout=30s")
        for namespace in (OPERATORS, VAULTS):
            cluster.delete_namespace(namespace)
        cluster.run(f"k3s kubectl delete --ignore-not-found clusterrole/{OPERATORS} clusterrolebinding/{OPERATORS} clusterrolebinding/{VAULTS}")
        cluster.run("k3s kubectl delete --ignore-not-found --wait=false --filename -", stdin=definitions)
