# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The rotation of the keys and passwords of a server in a cluster: which Secrets have them, what is written down, what is changed. No I/O.

What there is to rotate follows from what the roles say in check mode: their connections, and the Secrets that they keep. The new values are in a
Secret, the note, before anything changes, each as ``SECRET_KEY``, since no name of a Secret has an underscore.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.kubernetes import ROTATION, held
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_deployed import base64
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_settings import PASSPHRASE, WEBHOOK_KEY
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object, Volume

ALL, TLS = "all", "tls"
#: What a server in a cluster may have besides what an embedded one has, which is in rotation.py.
MORE = ("ingress_password", "oidc_client_secret", "cookie_secret", TLS)
#: What encrypts rows, each with the key in the server's Secret, and with the variable of the pods that has it.
ENCRYPTING = {"webhook_key": ("webhook-key", WEBHOOK_KEY), "kek": ("crypto-passphrase", PASSPHRASE)}
#: What MLflow must not meet half done: it would encrypt with the old key, or refuse what a client does not try again.
STOPPING = frozenset({*ENCRYPTING, "s3_keys"})
#: Of the note: what is rotated, and how many pods there were.
ROTATES, REPLICAS = "rotates", "replicas"
FOLDER = "/rotation"
#: The exit code of rotation_pod.py which says that nothing has changed. All others leave open whether the transaction was committed.
UNCHANGED = 1
Given = Mapping[str, Any]
Place = tuple[str, str]


@dataclass(frozen=True)
class Rotation:
    """A deployment, as the roles publish it, and what is asked for."""

    given: Given

    @property
    def server(self) -> str:
        """The name of the server, of its Deployment, and of the Secret with its keys."""
        return str(self.given["deployment"]["metadata"]["name"])

    @property
    def note(self) -> str:
        """The name of the Secret with what was written down, and of the Job."""
        return named(self.server)

    @property
    def noted(self) -> dict[str, str]:
        """What is written down, by this run or an earlier one; empty if there is nothing."""
        return held(self.given["note"])

    @property
    def secrets(self) -> dict[str, Mapping[str, str]]:
        """The values of the deployment's Secrets: those that the roles have told, or, for what was written down, those that were read."""
        return {**self.given["secrets"], **{each["metadata"]["name"]: held(each) for each in self.given["current"]}}

    @property
    def asked(self) -> list[str]:
        """What this run is to rotate."""
        return list(self.given["variables"]["mlflow_rotation_keys"])

    @property
    def rotates(self) -> list[str]:
        """What is rotated: what was begun, or what is asked for and there."""
        if self.noted:
            return self.noted[ROTATES].split(",")
        names = [*self.places, *([TLS] if not self._no_certificate else [])]
        return [name for name in names if name in self.asked or ALL in self.asked]

    @property
    def candidates(self) -> dict[str, list[Place]]:
        """Where each is kept, whoever keeps it."""
        endpoint, secrets = self.given["endpoint"], self.secrets
        database = self.given["postgresql"].get("secret_environment", {}).get("PGPASSWORD", {}).get("name", "")
        is_basic = bool(endpoint.get("username"))
        asks = ((endpoint.get("public") or {}).get("password_secret") or {}).get("key") == "ingress-password"

        def each(key: str) -> list[Place]:
            return [(name, key) for name in secrets if key in secrets[name]]

        return {
            "database_password": [(name, key) for name, key in (*each("admin-password"), *each("password")) if name == database],
            "s3_keys": each("secret-key"),
            "admin_password": [(self.server, "admin-password")] if is_basic else [],
            "flask_key": [(self.server, "flask-secret-key")] if is_basic else [],
            "ingress_password": [(self.server, "ingress-password")] if asks else [],
            "oidc_client_secret": each("client-secret"),
            "cookie_secret": each("cookie-secret"),
            **{name: [(self.server, key)] for name, (key, _variable) in ENCRYPTING.items()},
        }

    @property
    def places(self) -> dict[str, list[Place]]:
        """Where what can be rotated is kept: no variable gives its value."""
        fixed = {(name, key) for name, keys in self.given["given_keys"].items() for key in keys}
        found = {name: [place for place in places if place not in fixed] for name, places in self.candidates.items()}
        return {name: places for name, places in found.items() if places}

    @property
    def _no_certificate(self) -> str:
        tls = (self.given["endpoint"].get("public") or {}).get("tls_secret", "")
        if tls != f"{self.server}-tls":
            return "the certificate of the Ingress is not the deployment's own; renew it where it comes from"
        return ""

    def lacking(self, name: str) -> str:
        """Why there is no such thing to rotate, with the remedy; empty if there is."""
        if name == TLS:
            return self._no_certificate
        if name in self.places:
            return ""
        if self.candidates[name]:
            return "a variable gives it; change it there, and run the site playbook"
        return {
            "database_password": "PostgreSQL is not the deployment's own; change it there and in postgresql_password, and run the site playbook",
            "s3_keys": (
                "the store has no keys of the deployment's own; make a second key there, set artifact_store_access_key and "
                "artifact_store_secret_key, run the site playbook, and delete the first key"
            ),
            "oidc_client_secret": (
                "the identity provider is not the deployment's own; make another secret there, set sso_client_secret, and run the site playbook"
            ),
            "cookie_secret": "people do not log in by oauth2-proxy (sso_provider); leave it out",
            "ingress_password": "the Ingress asks for no password (mlflow_server_ingress_auth); leave it out",
        }.get(name, "the server takes requests without a password (mlflow_server_auth); leave it out")

    @property
    def obstacle(self) -> str:
        """What stands in the way of a rotation that begins; empty if nothing does."""
        if self.given.get("credentials") == "external_secret" and set(self.asked) != {TLS}:
            return (
                "rotate: the keys and passwords are Vault's (credentials_provider), so nothing is rotated here; write new values into Vault and run "
                "ansible-playbook mlops.mlflow.site, or, for webhook_key and kek, see docs/vault.md"
            )
        for name in self.asked:
            why = "" if name == ALL else self.lacking(name)
            if why:
                return f"rotate: there is no {name} to rotate, since {why}"
        for name, (_key, variable) in ENCRYPTING.items():
            reference = next((each.get("valueFrom") for each in self._container.get("env") or [] if each["name"] == variable), None)
            if name in self.rotates and ((reference or {}).get("secretKeyRef") or {}).get("name") != f"{self.server}-env":
                return f"rotate: Deployment/{self.server} has a {variable} of its own; remove it from mlflow_server_environment first"
        return ""

    @property
    def _container(self) -> Object:
        containers = self.given["deployment"]["spec"]["template"]["spec"]["containers"]
        return dict(next(each for each in containers if each["name"] == "mlflow"))

    @property
    def note_keys(self) -> dict[str, str]:
        """What is written down, "" where a value is to be made."""
        new = {f"{secret}_{key}": "" for name in self.rotates for secret, key in self.places.get(name, [])}
        return self.noted or {**new, ROTATES: ",".join(self.rotates), REPLICAS: str(self.given["deployment"]["spec"].get("replicas", 1))}

    @property
    def new(self) -> dict[Place, str]:
        """The new values."""
        values = {name.partition("_"): value for name, value in self.noted.items() if "_" in name}
        return {(secret, key): value for (secret, _line, key), value in values.items()}

    @property
    def is_applied(self) -> bool:
        """Whether all Secrets have them."""
        return all(self.secrets.get(secret, {}).get(key) == value for (secret, key), value in self.new.items())

    @property
    def patches(self) -> list[Object]:
        """What changes of each Secret. What the server reads is changed with what it is made of, so that it can start before the roles run."""
        data: dict[str, dict[str, str]] = {}
        for (secret, key), value in self.new.items():
            data.setdefault(secret, {})[key] = base64(value)
        forms: dict[str, Callable[[str], str]] = {"webhook_key": base64, "kek": str}
        own = [(form(self.new.get((self.server, key), "")), variable) for name, form in forms.items() for key, variable in [ENCRYPTING[name]]]
        derived = {variable: base64(value) for value, variable in own if value}
        secrets = {**data, **({f"{self.server}-env": derived} if derived else {})}
        return [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": part} for name, part in secrets.items()]

    def deployment(self, mark: str | None, replicas: int) -> Object:
        """What changes of the Deployment, whose mark keeps other runs away."""
        metadata = {"name": self.server, "annotations": {ROTATION: mark}}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas}}

    @property
    def plan(self) -> Object:
        """The steps that are left, and what they are done with."""
        rotates = set(self.rotates)
        is_left = not self.is_applied or ROTATION in (self.given["deployment"]["metadata"].get("annotations") or {})
        stops, replicas = is_left and bool(STOPPING & rotates), int(self.noted.get(REPLICAS, 1))
        # The roles whose servers take a new value run at once, and so does that of MLflow, unless a start is all that it needs. That one needs what
        # all roles publish, which only a run that begins a rotation has asked them for.
        roles = [role for role, name in (("postgresql", "database_password"), ("artifact_store", "s3_keys")) if name in rotates]
        return {
            "rotates": self.rotates, "is_left": is_left, "stops": stops,
            "encrypts": [name for name in ENCRYPTING if name in rotates and not self.is_applied],
            "roles": roles if stops or not roles else [] if self.given["resumes"] else [*roles, "mlflow_server"],
            "stopped": self.deployment("begun", 0), "started": self.deployment(None, replicas), "patches": self.patches,
        }  # fmt: skip

    def program(self, action: str) -> Object:
        """What run.py is given in a pod. No value is among it."""
        settings = {"action": action, "rotates": [name for name in ENCRYPTING if name in self.rotates], "folder": FOLDER, "server": self.server}
        return {"programs": self.given["programs"], "program": "rotation_pod", "settings": settings}

    @property
    def job(self) -> Object:
        """The Job that changes the database: a pod of the server's, with the note. It has the labels, and so the network, of a migration."""
        template = self.given["deployment"]["spec"]["template"]
        noted = Volume("rotation", FOLDER, {"secret": {"secretName": self.note, "defaultMode": 0o440}}, read_only=True)
        given = self._container
        kept = ("image", "imagePullPolicy", "env", "envFrom", "securityContext", "volumeMounts")
        container = {
            **{key: given[key] for key in kept if key in given}, "name": "rotation", "terminationMessagePolicy": "FallbackToLogsOnError",
            "command": ["python", "-c", self.given["runner"], as_json(self.program("change"))],
            "volumeMounts": [*given.get("volumeMounts", []), noted.mount],
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        }  # fmt: skip
        spec = template["spec"]
        pod = {**spec, "containers": [container], "volumes": [*spec.get("volumes", []), noted.volume], "restartPolicy": "Never"}
        labels = {**template["metadata"]["labels"], "app.kubernetes.io/component": "migration"}
        evicted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
        return workload.job(
            self.note, labels, pod, backoffLimit=0, activeDeadlineSeconds=900, ttlSecondsAfterFinished=86400, podFailurePolicy={"rules": [evicted]},
        )  # fmt: skip

    @property
    def lines(self) -> Iterator[str]:
        """What is told at the end."""
        yield f"{'Would rotate' if self.given['check_mode'] else 'Rotated'}: {', '.join(self.rotates)}"
        if self.given["resumes"]:
            others = [name for name in self.asked if name not in (*self.rotates, ALL)]
            yield "A rotation was interrupted, and is finished first"
            if others:
                yield f"Run this again for {', '.join(others)}"


def has_changed_nothing(pods: Iterable[Object]) -> bool:
    """Whether the pods of a Job that was waited for in vain say that all rows are as before: each has ended, and with that exit code."""
    states = [each.get("state") or {} for pod in pods for each in pod["status"].get("containerStatuses") or [{}]]
    codes = [(state.get("terminated") or {}).get("exitCode") for state in states]
    return bool(codes) and all(code == UNCHANGED for code in codes)


def named(server: str) -> str:
    """Return the name of what a rotation of that server makes: the Secret with what was written down, and the Job."""
    return f"{server}-rotation"


def claims(name: str) -> list[Object]:
    """Return what a rotation makes and removes for the server of that name."""
    made = (("Secret", "v1"), ("Job", "batch/v1"))
    return [{"kind": kind, "api_version": version, "name": named(name), "option": "mlflow_server_name"} for kind, version in made]


DECISIONS: Mapping[str, Callable[[Given], Any]] = {
    "cluster_claims": lambda given: claims(given["name"]),
    "cluster_noted": lambda given: sorted({secret for secret, _key in Rotation(given).new}),
    "cluster_obstacle": lambda given: Rotation(given).obstacle,
    "cluster_rotates": lambda given: Rotation(given).rotates,
    "cluster_encrypts": lambda given: [name for name in ENCRYPTING if name in Rotation(given).rotates],
    "cluster_note": lambda given: Rotation(given).note_keys,
    "cluster_plan": lambda given: Rotation(given).plan,
    "cluster_has_changed_nothing": lambda given: has_changed_nothing(given["pods"]),
    "cluster_job": lambda given: Rotation(given).job,
    "cluster_check": lambda given: Rotation(given).program("check"),
    "cluster_lines": lambda given: [*Rotation(given).lines],
}
