# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the role credentials decides: the values of a Secret that come from Vault, and the objects by which External Secrets reads them. No I/O.

External Secrets writes what Vault has into the Secret ``NAME-vault``, at any time. Only a run takes it from there into the Secret NAME, so that
servers and clients get a new value in their order (docs/adr/0059-vault-is-read-by-a-run.md).
"""
from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.kubernetes import DEPLOYMENT, LABELS, MANAGED_BY, held, secret
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.rotation_kubernetes import ENCRYPTING
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import host_and_port, read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, described, service_account
from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.external_secrets import ASKED, VERSION, VERSION_OF_PUSHES

Given = Mapping[str, Any]
#: What marks the Secrets beside those of the roles, with the deployment.
LABEL = "mlops.mlflow/credentials"
#: The suffixes of their names: what Vault has, and what is to be written there.
READ, WRITTEN = "-vault", "-new"
#: What encrypts rows of the database, and so cannot be changed by writing another value into Vault.
LASTING = frozenset(key for key, _variable in ENCRYPTING.values())
_PATH = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_INTERVAL = re.compile(r"([1-9][0-9]*(h|m|s))+")


@dataclass(frozen=True)
class Credentials:
    """The variables credentials_*, which roles/credentials/meta/argument_specs.yml documents."""

    provider: str = "kubernetes_secret"
    name: str = "credentials"
    store: str = ""
    store_kind: str = "ClusterSecretStore"
    path: str = ""
    create_missing: bool = False
    refresh_interval: str = "5m"
    vault_url: str = ""
    vault_mount: str = "secret"
    vault_namespace: str = ""
    vault_auth_mount: str = "kubernetes"
    vault_role: str = ""
    vault_ca: str = ""

    @property
    def reference(self) -> dict[str, str]:
        """The store, as objects refer to it."""
        return {"kind": self.store_kind, "name": self.store} if self.store else {"kind": "SecretStore", "name": self.name}

    def place(self, name: str) -> str:
        """Where Vault has the values of the Secret of that name."""
        return f"{self.path}/{name}"


def problems(credentials: Credentials) -> Iterator[str]:
    """Yield a sentence with its remedy for each problem of the variables.

    >>> list(problems(Credentials(store="vault", path="mlflow")))
    []
    >>> [each.partition(":")[0] for each in problems(Credentials(vault_url="vault:8200", path="/mlflow", refresh_interval="0"))]
    ['credentials_vault_url', 'credentials_vault_role', 'credentials_path', 'credentials_refresh_interval']
    """
    if bool(credentials.store) == bool(credentials.vault_url):
        yield (
            "credentials_store: credentials_provider is external_secret, which needs either the name of a store that exists, or "
            "credentials_vault_url to make one; set one of them, not both"
        )
    if credentials.vault_url and not (re.match("https?://", credentials.vault_url) and host_and_port(credentials.vault_url)[0]):
        yield f"credentials_vault_url: '{credentials.vault_url}' is not a URL; set one such as https://vault.example.com:8200"
    if credentials.vault_url and not credentials.vault_role:
        yield "credentials_vault_role: is empty; set the role of Vault's Kubernetes authentication that may read credentials_path"
    if not _PATH.fullmatch(credentials.path) or credentials.path.partition("/")[0] in ("data", credentials.vault_mount):
        yield (
            f"credentials_path: '{credentials.path}' is not a path below the mount; set one such as mlflow, of letters, digits and . _ - / alone, "
            "without the mount and without data/"
        )
    if not _INTERVAL.fullmatch(credentials.refresh_interval):
        yield f"credentials_refresh_interval: '{credentials.refresh_interval}' is not a time span; set one such as 5m or 1h"


def kinds(credentials: Credentials) -> list[Object]:
    """Return what the cluster must know, with what is said if it does not."""
    versions = {"ExternalSecret": VERSION, **({"PushSecret": VERSION_OF_PUSHES} if credentials.create_missing else {})}
    return [
        {
            "kind": kind,
            "api_version": version,
            "says": (
                f"credentials_provider: external_secret needs External Secrets 0.16 or later, but the cluster does not have the kind {kind} of "
                f"{version}; install it, or set kubernetes_secret"
            ),
        }
        for kind, version in versions.items()
    ]


def store_objects(credentials: Credentials) -> list[Object]:
    """Return the store of the deployment's own, and the service account that it logs in with; nothing if it is given one."""
    if credentials.store:
        return []
    account = {"mountPath": credentials.vault_auth_mount, "role": credentials.vault_role, "serviceAccountRef": {"name": credentials.name}}
    vault = {
        "server": credentials.vault_url, "path": credentials.vault_mount, "version": "v2", "auth": {"kubernetes": account},
        **({"namespace": credentials.vault_namespace} if credentials.vault_namespace else {}),
        **({"caBundle": b64encode(credentials.vault_ca.encode()).decode()} if credentials.vault_ca else {}),
    }  # fmt: skip
    return [
        service_account(credentials.name, LABELS),
        described(VERSION, "SecretStore", credentials.name, LABELS, spec={"provider": {"vault": vault}}),
    ]


def reads(deployment: str) -> list[Object]:
    """Return what is read of the cluster: the ExternalSecrets, and the Secrets beside those of the roles."""
    return [
        {"api_version": VERSION, "kind": "ExternalSecret", "label_selectors": [f"{MANAGED_BY}=mlops.mlflow", f"{DEPLOYMENT}={deployment}"]},
        {"kind": "Secret", "label_selectors": [f"{LABEL}={deployment}"]},
    ]


def found(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what was read, by kind and name."""
    parts = [*(result["resources"] for result in results), [], []][:2]
    named = [{each["metadata"]["name"]: each for each in part} for part in parts]
    return dict(zip(("external_secrets", "secrets"), named))


def asked(
    credentials: Credentials, external_secrets: Mapping[str, Mapping[str, Any]], claims: Iterable[Mapping[str, Any]], now: str
) -> dict[str, list[Object]]:
    """Return what has External Secrets log in again, and read Vault again for the Secrets of the run, and whom to wait for, the store first.

    It acts on each new value of the annotation, even where it tries again only after minutes. Where the store is not valid, an ExternalSecret
    says no more than that.

    >>> found = {name: {"status": {"syncedResourceVersion": "1-a"}} for name in ("mlflow", "left-behind")}
    >>> made = asked(Credentials(store="vault"), found, [{"kind": "Secret", "name": "mlflow"}], "12:00")
    >>> made["rollouts"]
    [{'kind': 'ClusterSecretStore', 'name': 'vault'}, {'kind': 'ExternalSecret', 'name': 'mlflow'}]
    >>> [each["metadata"] for each in made["patches"]]
    [{'name': 'mlflow', 'annotations': {'mlops.mlflow/asked': '1-a 12:00'}}]
    """
    names = {claim["name"] for claim in claims if claim["kind"] == "Secret"}
    versions = {name: str((each.get("status") or {}).get("syncedResourceVersion", "")) for name, each in external_secrets.items() if name in names}
    # A store of somebody else is left alone.
    own = [] if credentials.store else [("SecretStore", credentials.name, "")]
    patched = [*own, *(("ExternalSecret", name, version) for name, version in versions.items())]
    return {
        "patches": [
            {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name, "annotations": {ASKED: f"{version} {now}"}}}
            for kind, name, version in patched
        ],
        "rollouts": [credentials.reference, *({"kind": "ExternalSecret", "name": name} for name in versions)],
    }


@dataclass(frozen=True)
class VaultSecret:
    """One Secret of a role, and what was found of it. ``keys`` are its keys, "" where no variable gives the value."""

    credentials: Credentials
    given: Given

    @property
    def name(self) -> str:
        """The name of the Secret, and of the objects of External Secrets for it."""
        return str(self.given["name"])

    @property
    def keys(self) -> list[str]:
        """The keys whose values Vault has."""
        return [key for key, value in self.given["keys"].items() if value == ""]

    @property
    def values(self) -> dict[str, str]:
        """What Vault has of them, as far as External Secrets has read it."""
        read_values = held(self.given["found"]["secrets"].get(f"{self.name}{READ}") or {})
        return {key: read_values[key] for key in self.keys if key in read_values}

    @property
    def external_secret(self) -> Object:
        """What External Secrets reads."""
        labels = {LABEL: self.given["deployment"]}
        target = {
            "name": f"{self.name}{READ}", "creationPolicy": "Owner", "deletionPolicy": "Retain",
            "template": {"metadata": {"labels": labels}},
        }  # fmt: skip
        place = self.credentials.place(self.name)
        data = [{"secretKey": key, "remoteRef": {"key": place, "property": key}} for key in self.keys]
        spec = {
            "refreshInterval": self.credentials.refresh_interval, "secretStoreRef": self.credentials.reference, "target": target, "data": data,
        }  # fmt: skip
        return described(VERSION, "ExternalSecret", self.name, LABELS, spec=spec)

    @property
    def is_read(self) -> bool:
        """Whether External Secrets reads all of it, and could when it last tried."""
        there = self.given["found"]["external_secrets"].get(self.name) or {}
        conditions = (there.get("status") or {}).get("conditions") or ()
        is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return is_ready and covers(there.get("spec"), self.external_secret["spec"]) and set(self.values) == set(self.keys)

    @property
    def writes(self) -> bool:
        """Whether a value may be missing in Vault that this run makes."""
        return self.credentials.create_missing and not self.is_read

    @property
    def written(self) -> list[Object]:
        """The values for Vault, and the order to write those that it lacks: those in use, those of a run that was interrupted, or new ones."""
        seed = held(self.given["found"]["secrets"].get(f"{self.name}{WRITTEN}") or {})
        new = dict.fromkeys(self.keys, "") if self.given["check_mode"] else dict(zip(self.keys, self.given["new"]))
        in_use = {key: value for key, value in held(self.given["secret"]).items() if key in self.keys}
        place, source = self.credentials.place(self.name), f"{self.name}{WRITTEN}"
        spec = {
            "updatePolicy": "IfNotExists", "deletionPolicy": "None", "refreshInterval": "1h", "secretStoreRefs": [self.credentials.reference],
            "selector": {"secret": {"name": source}},
            "data": [{"match": {"secretKey": key, "remoteRef": {"remoteKey": place, "property": key}}} for key in self.keys],
        }  # fmt: skip
        return [
            secret(source, {**new, **{key: value for key, value in seed.items() if key in new}, **in_use}, labels={LABEL: self.given["deployment"]}),
            described(VERSION_OF_PUSHES, "PushSecret", self.name, LABELS, spec=spec),
        ]

    @property
    def problem(self) -> str:
        """Why the values cannot be used, or ""."""
        place, in_use = self.credentials.place(self.name), held(self.given["secret"])
        for key in self.keys:
            if self.values.get(key, "") == "" and not self.given["check_mode"]:
                return f"credentials_path: '{place}' has no value for {key}; write one into Vault, and run again"
            if key in LASTING and in_use.get(key) and self.values.get(key, in_use[key]) != in_use[key]:
                return (
                    f"credentials_path: '{place}' has another {key} than the one that rows of the database are encrypted with; put the earlier "
                    "version back in Vault (vault kv rollback), or rotate it as docs/vault.md says"
                )
        return ""

    @property
    def plan(self) -> Object:
        """What the role does for it."""
        gone = (("PushSecret", VERSION_OF_PUSHES, self.name), ("Secret", "v1", f"{self.name}{WRITTEN}"))
        return {
            "is_read": self.is_read, "external_secret": self.external_secret, "writes": self.writes,
            "written": self.written if self.writes else [],
            "left_behind": [{"kind": kind, "api_version": version, "name": name} for kind, version, name in gone],
        }  # fmt: skip


def covers(there: Any, wanted: Any) -> bool:
    """Return whether an object has what is wanted, whatever the API server has added.

    >>> covers({"a": [{"b": 1, "c": 2}], "d": 3}, {"a": [{"b": 1}]}), covers({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}]})
    (True, False)
    """
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(covers(there.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(there, list) and len(there) == len(wanted) and all(map(covers, there, wanted))
    return bool(there == wanted)


def _credentials(given: Given) -> Credentials:
    return read(Credentials, given["variables"], "credentials_")


def _secret(given: Given) -> VaultSecret:
    return VaultSecret(_credentials(given), given)


DECISIONS: Mapping[str, Callable[[Given], Any]] = {
    "asked": lambda given: asked(_credentials(given), given["found"]["external_secrets"], given["claims"], given["now"]),
    "found": lambda given: found(given["read"]),
    "kinds": lambda given: kinds(_credentials(given)),
    "problems": lambda given: [*problems(_credentials(given))],
    "reads": lambda given: reads(given["deployment"]),
    "secret": lambda given: _secret(given).plan,
    "secret_problem": lambda given: _secret(given).problem,
    "secret_values": lambda given: _secret(given).values,
    "store_objects": lambda given: store_objects(_credentials(given)),
}
