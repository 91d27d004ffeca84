# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A client of MLflow in a cluster: its entry of ``mlflow_clients``, and what follows from it and from what earlier roles published. No I/O.

What is particular to a kind of client is one file beside this one, entered in kinds.py.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster, Store
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, checksum
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.verification import Endpoint
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Identity, Object, Volume

#: The name of a client's objects, unless its entry has another.
NAME = "mlflow-client"
#: Where a client has the authority of the server's certificate.
CA_FOLDER = "/etc/mlflow/client"
#: Where MLflow's client reads the token of its pod's service account, and nowhere else.
ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
USERNAME, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
TOKEN, AUTH = "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_AUTH"
NAMESPACE = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Entry:
    """An entry of ``mlflow_clients``, as documented in the role's argument spec."""

    kind: str = ""
    namespace: str = ""
    name: str = NAME
    create_namespace: bool = False
    #: None leaves it to the kind.
    pods: Mapping[str, str] | None = None
    service_account: str = ""
    tracking_uri: str = ""
    ca: str = ""
    username: str = ""
    password: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    secret_environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    artifact_store_access: bool = False
    trust_sklearn: bool = False
    egress: Sequence[Mapping[str, Any]] = ()
    egress_policy: str = "auto"
    connection_id: str = ""
    artifact_claim: str = ""
    pod_default: bool = True
    pipelines: bool = True
    verify: bool = True

    @property
    def account(self) -> str:
        """The ServiceAccount of its pods."""
        return self.service_account or "default"

    @property
    def title(self) -> str:
        """What the client is called in messages.

        >>> Entry("airflow", "etl").title, Entry("airflow", "etl", "nightly").title
        ('airflow in namespace etl', 'airflow nightly in namespace etl')
        """
        return f"{self.kind}{'' if self.name == NAME else f' {self.name}'} in namespace {self.namespace}"


@dataclass(frozen=True)
class Client:
    """An entry with the server that it is a client of."""

    entry: Entry
    #: The labels of the pods that use MLflow.
    pods: Mapping[str, str]
    server: Endpoint
    cluster: Cluster = field(default_factory=Cluster)
    store: Store = field(default_factory=Store)
    #: The values of the deployment's Secrets, by the name of the Secret and of the key.
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: The NetworkPolicies of the client's namespace.
    policies: Sequence[Mapping[str, Any]] = ()
    #: Whether its pods read the artifact store whatever the entry says.
    reads_store: bool = False

    @property
    def name(self) -> str:
        """The name of its objects."""
        return self.entry.name

    @property
    def identity(self) -> Identity:
        """Whose the objects are."""
        return Identity(NAME, self.name, "client")

    @property
    def uri(self) -> str:
        """The server's address."""
        return self.entry.tracking_uri or self.server.uri

    @property
    def account(self) -> str:
        """The MLflow user that it is by its pods' service account, "" if it logs in otherwise or not at all. What its entry gives wins."""
        entry = self.entry
        given = {*entry.environment, *entry.secret_environment, *([USERNAME] if entry.username else [])}
        is_asked = str(entry.environment.get(AUTH, "")).startswith("kubernetes")
        is_own = is_asked or not given & {USERNAME, PASSWORD, TOKEN, AUTH}
        return f"system:serviceaccount:{entry.namespace}:{entry.account}" if self.server.account_audience and is_own else ""

    @cached_property
    def environment(self) -> dict[str, str]:
        """The variables that are not secret; those of the entry come last."""
        entry = self.entry
        found = {
            "MLFLOW_TRACKING_URI": self.uri,
            **({USERNAME: entry.username} if entry.username else {}),
            **({AUTH: "kubernetes"} if self.account else {}),
            **({"MLFLOW_TRACKING_SERVER_CERT_PATH": f"{CA_FOLDER}/ca.crt"} if entry.ca else {}),
            **({"MLFLOW_UTILS_TRUST_SKLEARN": "true"} if entry.trust_sklearn else {}),
            **({name: self.from_here(value) for name, value in self.store.environment.items()} if entry.artifact_store_access else {}),
            **entry.environment,
        }
        return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in found.items()}

    @cached_property
    def secret_values(self) -> dict[str, str]:
        """The values that the client's own Secret has, by variable."""
        own = {PASSWORD: self.entry.password} if self.entry.password else {}
        return {**own, **(self.store_keys if self.entry.artifact_store_access else {})}

    @property
    def store_keys(self) -> dict[str, str]:
        """The artifact store's keys, by variable; those in Secrets that this run does not know are left out."""
        references = self.store.secret_environment.items()
        known = {name: (self.secrets.get(each.get("name", "")) or {}).get(each.get("key", "")) for name, each in references}
        return {name: value for name, value in known.items() if value}

    @property
    def references(self) -> dict[str, dict[str, Any]]:
        """Each variable's place, as a container's ``valueFrom`` has it: no value is in it, and none is expanded on its way."""
        plain = {name: {"configMapKeyRef": {"name": self.name, "key": name}} for name in self.environment}
        own = {name: {"secretKeyRef": {"name": self.name, "key": name}} for name in self.secret_values}
        return {**plain, **own, **self.given_references}

    @property
    def given_references(self) -> dict[str, dict[str, Any]]:
        """The same of the variables in Secrets of others."""
        return {name: {"secretKeyRef": dict(reference)} for name, reference in self.entry.secret_environment.items()}

    @property
    def sources(self) -> list[Object]:
        """The ConfigMap and the Secret with the client's variables, as a container's ``envFrom`` has them."""
        return [{"configMapRef": {"name": self.name}}, *([{"secretRef": {"name": self.name}}] if self.secret_values else [])]

    @property
    def volumes(self) -> list[Volume]:
        """The authority of the server's certificate, and a token for MLflow in the place of that for the API server, if it has them."""
        authority = Volume("mlflow-ca", CA_FOLDER, {"configMap": {"name": f"{self.name}-ca"}}, read_only=True)
        token = Volume("mlflow-token", ACCOUNT_FOLDER, {"projected": {"sources": [
            {"serviceAccountToken": {"audience": self.server.account_audience, "expirationSeconds": 3600, "path": "token"}},
            # MLFLOW_TRACKING_AUTH=kubernetes-namespaced takes it for the workspace.
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]}}, read_only=True)  # fmt: skip
        return [*([authority] if self.entry.ca else []), *([token] if self.account else [])]

    @property
    def peer(self) -> Object:
        """The client's pods, as a NetworkPolicy of MLflow's namespace has them."""
        selector = {"podSelector": {"matchLabels": dict(self.pods)}} if self.pods else {}
        return {"namespaceSelector": {"matchLabels": {NAMESPACE: self.entry.namespace}}, **selector}

    @cached_property
    def ways(self) -> list[Object]:
        """Where the client's pods must reach, as rules for a NetworkPolicy of their namespace.

        One that lets them connect to anything, as of a store of which nothing is known, is left out: the entry can say where that is.
        """
        more = self.store.egress if self.entry.artifact_store_access or self.reads_store else ()
        rules = [*self.server.egress, *(rule for rule in more if rule not in self.server.egress)]
        return [self._for_elsewhere(rule) for rule in rules if rule]

    @property
    def egress(self) -> list[Object]:
        """The same with what the entry adds."""
        return [*self.ways, *(dict(rule) for rule in self.entry.egress)]

    @cached_property
    def reached(self) -> list[tuple[Mapping[str, Any], Sequence[Any]]]:
        """The pods of MLflow's namespace that the client must reach, each as a selector, and their ports: the server's come first."""
        return [(selector, rule.get("ports") or []) for rule in self.ways for selector in self._reached(rule)]

    def _reached(self, rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        here = {"matchLabels": {NAMESPACE: self.cluster.namespace}}
        for peer in rule.get("to") or []:
            if peer.get("podSelector") and peer.get("namespaceSelector") == here:
                yield peer["podSelector"]

    def _for_elsewhere(self, rule: Mapping[str, Any]) -> Object:
        """A rule for pods of MLflow's own namespace, as it is for those of another."""
        here = {"namespaceSelector": {"matchLabels": {NAMESPACE: self.cluster.namespace}}}
        return {**rule, **({"to": [{**here, **peer} if "podSelector" in peer else dict(peer) for peer in rule["to"]]} if rule.get("to") else {})}

    @property
    def store_url(self) -> str:
        """The S3 server's address, "" for AWS."""
        return str(self.from_here(self.store.environment.get("MLFLOW_S3_ENDPOINT_URL", "")))

    def from_here(self, value: Any) -> Any:
        """A URL with a Service's short name, which only MLflow's namespace knows, with its full one.

        >>> client = Client(Entry(), {}, Endpoint(), Cluster("akko"))
        >>> client.from_here("http://akko-minio:9000"), client.from_here("https://s3.example.com"), client.from_here("us-east-1")
        ('http://akko-minio.akko.svc:9000', 'https://s3.example.com', 'us-east-1')
        """
        parts = urlsplit(str(value))
        if parts.scheme not in ("http", "https") or not parts.hostname or "." in parts.hostname or ":" in parts.hostname:
            return value
        port = f":{parts.port}" if parts.port else ""
        return urlunsplit(parts._replace(netloc=f"{parts.hostname}.{self.cluster.namespace}.svc{port}"))

    @cached_property
    def is_confined(self) -> bool:
        """Whether the client's pods may connect only to what policies let them, so that one more lets them reach MLflow.

        Where none is about them, one more would cut them off from everything else.
        """
        if self.entry.egress_policy != "auto":
            return self.entry.egress_policy == "always"
        return any(confines(policy, self.pods) for policy in self.policies if not is_of_client(policy))

    @property
    def salt(self) -> str:
        """What keeps a password from being guessed by the checksum that it is in."""
        return checksum(as_json(self.secrets.get(self.server.name) or {}, sort_keys=True))

    def checksum(self, content: Any) -> str:
        """Return the checksum of a content that may be secret."""
        return checksum(as_json([self.salt, content], sort_keys=True))


def _always(entry: Entry) -> bool:
    return True


@dataclass(frozen=True)
class Part:
    """An object that a client may have: ``build`` gives None where this one does not have it."""

    kind: str
    #: What its name ends in after the client's.
    ending: str
    build: Callable[[Client], Object | None]
    api_version: str = "v1"
    #: Its whole name, if whoever reads it knows it by that.
    fixed: str = ""
    #: Whether an entry can have it. If not, one of others by that name is none of its business.
    asked: Callable[[Entry], bool] = _always
    #: Whether its fields are merged into the object of that name, whoever owns that.
    is_merged: bool = False
    #: Whether it is in no namespace.
    is_of_cluster: bool = False

    def reference(self, namespace: str, name: str) -> Object:
        """Return what identifies the object, as kubernetes_apply takes it."""
        found: Object = {"api_version": self.api_version, "kind": self.kind}
        if self.is_of_cluster:
            return {**found, "name": f"{name}{self.ending}.{namespace}"}
        return {**found, "name": self.fixed or f"{name}{self.ending}", "namespace": namespace, **({"merged": True} if self.is_merged else {})}


@dataclass(frozen=True)
class Test:
    """What the Job that verifies a client of a kind has besides what its pods have."""

    environment: Sequence[Object] = ()
    volumes: Sequence[Volume] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def _no_problems(client: Client) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Kind:
    """What is particular to a kind of client."""

    #: The labels of the pods that use MLflow.
    pods: Mapping[str, str]
    #: The files for whoever operates it, by what their names end in: a text, or what is written as YAML.
    files: Callable[[Client], Mapping[str, Any]]
    #: When a change of the environment arrives, for people.
    arrival: str
    parts: Sequence[Part] = ()
    #: What the name of its ServiceAccount ends in, if it has one of its own.
    account: str = ""
    #: Whether its pods read the artifact store themselves.
    reads_store: bool = False
    #: What is wrong with an entry, each a sentence that begins with the option.
    problems: Callable[[Client], Iterable[str]] = _no_problems
    test: Callable[[Client], Test] = lambda client: Test()


def packages(client: Client) -> list[str]:
    """Return what the client's image needs, as pip takes it. MLflow writes scikit-learn's models with skops, which comes with mlflow alone."""
    entry = client.entry
    more = {"boto3": entry.artifact_store_access, "mlflow-utils": entry.trust_sklearn, "skops<1": entry.trust_sklearn}
    mlflow = "mlflow-skinny[kubernetes]>=3.11.1,<4" if client.account else "mlflow-skinny>=3,<4"
    return [mlflow, *(name for name, is_needed in more.items() if is_needed)]


def is_of_client(policy: Mapping[str, Any]) -> bool:
    """Return whether a NetworkPolicy is one that this role makes."""
    labels = (policy.get("metadata") or {}).get("labels") or {}
    return labels.get("app.kubernetes.io/name") == NAME and labels.get("app.kubernetes.io/managed-by") == "mlops.mlflow"


def confines(policy: Mapping[str, Any], pods: Mapping[str, str]) -> bool:
    """Return whether a NetworkPolicy restricts where all pods with these labels may connect to.

    >>> everyone = {"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
    >>> some = {"spec": {"podSelector": {"matchLabels": {"app": "jupyterhub"}}, "policyTypes": ["Egress"]}}
    >>> confines(everyone, {}), confines(some, {}), confines(some, {"app": "jupyterhub", "component": "singleuser-server"})
    (True, False, True)
    >>> confines({"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}, {})
    False
    """
    spec = policy.get("spec") or {}
    is_about_egress = "Egress" in spec["policyTypes"] if spec.get("policyTypes") else bool(spec.get("egress"))
    selector = spec.get("podSelector") or {}
    labels = selector.get("matchLabels") or {}
    return is_about_egress and labels.items() <= pods.items() and all(_holds(each, pods) for each in selector.get("matchExpressions") or [])


def _holds(expression: Mapping[str, Any], pods: Mapping[str, str]) -> bool:
    """Whether an expression of a selector is true of all pods with these labels, which may have others too."""
    key, values = expression["key"], expression.get("values") or []
    is_known = {
        "In": key in pods and pods[key] in values, "NotIn": key in pods and pods[key] not in values, "Exists": key in pods,
    }  # fmt: skip
    return is_known.get(expression["operator"], False)
