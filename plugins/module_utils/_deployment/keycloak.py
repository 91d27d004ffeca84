# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The role keycloak's variables, the connection that it publishes, and the realm that it declares. No I/O."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import is_true, read
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Identity, Object, pods_of

Given = Mapping[str, Any]
#: The component of the workload.
COMPONENT = "identity-provider"
#: The keys of the role's Secret. Those of programs and users are prefixed by what they are.
ADMIN_PASSWORD, CLIENT_SECRET, DATABASE_PASSWORD = "admin-password", "client-secret", "database-password"
#: The ports of its container and of its Service: for the ingress controller, for pods, and for probes.
HTTP, HTTPS, MANAGEMENT = 8080, 8443, 9000
#: The annotation of the Deployment with the database that it has data in.
DATABASE = "mlops.mlflow/database"


@dataclass(frozen=True)
class Keycloak:
    """The variables keycloak_*, which roles/keycloak/meta/argument_specs.yml documents."""

    host: str = ""
    realm: str = "mlflow"
    realm_settings: Mapping[str, Any] = field(default_factory=dict)
    client_id: str = "mlflow"
    redirect_uris: Sequence[str] = ()
    groups: Sequence[str] = ()
    users: Sequence[Mapping[str, Any]] = ()
    programs: Sequence[Mapping[str, Any]] = ()
    console: bool = False
    admin_username: str = "admin"
    admin_password: str = ""
    database: str = "keycloak"
    database_password: str = ""
    name: str = "keycloak"
    image: str = ""
    resources: Mapping[str, Any] = field(default_factory=dict)
    tls: str = "generated"
    tls_secret: str = ""
    tls_issuer: str = ""
    tls_issuer_kind: str = "ClusterIssuer"
    ingress_class: str = "traefik"
    ingress_annotations: Mapping[str, str] = field(default_factory=dict)
    ingress_callers: Sequence[Mapping[str, Any]] = ()
    callers: Sequence[Mapping[str, Any]] = ()
    egress: Sequence[Mapping[str, Any]] = ()

    @property
    def identity(self) -> Identity:
        """Whose the objects are."""
        return Identity("keycloak", self.name, COMPONENT)

    @property
    def url(self) -> str:
        """The address that browsers have, and that is in tokens."""
        return f"https://{self.host}"

    @property
    def certificate(self) -> str:
        """The Secret with the certificate for calls within the cluster."""
        return f"{self.name}-tls"

    @property
    def public_certificate(self) -> str:
        """The Secret with the certificate of the Ingress."""
        return self.tls_secret if self.tls == "existing" else f"{self.name}-public-tls"

    def service(self, namespace: str) -> str:
        """The name by which pods reach it."""
        return f"{self.name}.{namespace}.svc"


def of(given: Given) -> Keycloak:
    """Return the role's variables."""
    return read(Keycloak, given["variables"], "keycloak_")


def connection(given: Given) -> Object:
    """Return what the role publishes; {} where there is no Keycloak. The issuer's URL and the client depend on the variables alone."""
    keycloak, namespace = of(given), given["kubernetes"].get("namespace", "")
    if not keycloak.host:
        return {}
    internal = f"https://{keycloak.service(namespace)}:{HTTPS}/realms/{keycloak.realm}"
    return {
        "issuer_url": f"{keycloak.url}/realms/{keycloak.realm}",
        "internal_issuer_url": internal,
        "jwks_url": f"{internal}/protocol/openid-connect/certs",
        "issuer_ca": given["certificates"].get(keycloak.certificate, {}).get("ca", ""),
        "client_id": keycloak.client_id,
        "client_secret": {"name": keycloak.name, "key": CLIENT_SECRET},
        "egress": pods_of(keycloak.identity, HTTPS),
        "how_to_use": _how_to_use(keycloak, namespace),
    }


def _how_to_use(keycloak: Keycloak, namespace: str) -> list[str]:
    """Where the passwords are that the role has made up."""
    kept = [f"{prefix}-{each['name']}" for prefix, entries in (("user", keycloak.users), ("program", keycloak.programs)) for each in present(entries)]
    console = [f"Keycloak's administrator is {keycloak.admin_username}, at {keycloak.url}/admin/"] if keycloak.console else []
    return [*console, f"Passwords and secrets are in Secret {keycloak.name} of namespace {namespace}: {', '.join([ADMIN_PASSWORD, *kept])}"]


def present(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the entries that are not to be removed."""
    return [each for each in entries if each.get("state", "present") != "absent"]


def secret_keys(given: Given) -> dict[str, str]:
    """The values of the role's Secret, "" where one is to be made."""
    keycloak = of(given)
    return {
        ADMIN_PASSWORD: keycloak.admin_password, CLIENT_SECRET: "", DATABASE_PASSWORD: keycloak.database_password,
        **{f"program-{each['name']}": str(each.get("secret") or "") for each in present(keycloak.programs)},
        **{f"user-{each['name']}": str(each.get("password") or "") for each in present(keycloak.users)},
    }  # fmt: skip


# Its objects, before and after


def objects_named(name: str) -> list[Object]:
    """Return what identifies each object that the role may create or change under a name."""
    networking = "networking.k8s.io/v1"
    certificates = [f"{name}{suffix}" for suffix in ("-tls", "-tls-ca", "-public-tls", "-public-tls-ca")]
    return [
        {"kind": "Secret", "name": name}, *({"kind": "Secret", "name": each} for each in certificates),
        {"kind": "ServiceAccount", "name": name}, {"kind": "Service", "name": name},
        {"kind": "NetworkPolicy", "api_version": networking, "name": name}, {"kind": "Ingress", "api_version": networking, "name": name},
        {"kind": "Deployment", "api_version": "apps/v1", "name": name},
    ]  # fmt: skip


def claims(given: Given) -> list[Object]:
    """The objects that the role may create or change, checked before the first change of a run."""
    workload = {"Deployment": {"component": COMPONENT}}
    found = objects_named(given["name"]) if given["host"] else []
    return [{**each, **workload.get(each["kind"], {}), "option": "keycloak_name"} for each in found]


def left_behind(given: Given) -> list[Object]:
    """What is left of a Keycloak that the deployment no longer has. The Secrets stay, as its database does, so that it can come back."""
    names = [each["name"] for each in read(Cluster, given["kubernetes"], "").workloads if each.get("component") == COMPONENT]
    return [] if of(given).host else [each for name in names for each in objects_named(name) if each["kind"] != "Secret"]


# Its database


def database(given: Given) -> Object:
    """Where the database is, who may log in there, and whether one that is missing may be created: not if Keycloak had data in it."""
    keycloak, found, cluster = of(given), given["postgresql"], read(Cluster, given["kubernetes"], "")
    noted = [(each.get("annotations") or {}).get(DATABASE) for each in cluster.workloads if each.get("component") == COMPONENT]
    password = found.get("admin_password") or {}
    return {
        "address": found.get("address", ""), "port": found.get("port", 5432), "admin_user": found.get("admin_user", ""),
        "admin_password": given["all_secrets"].get(password.get("name"), {}).get(password.get("key"), ""),
        "ca_file": found.get("ca_file", ""), "ssl_mode": "verify-ca" if found.get("ca_file") else "require",
        "may_create": not (cluster.has_data and keycloak.database in noted),
        "is_managed": has_administrator(found), "is_deployed": bool(noted),
    }  # fmt: skip


def has_administrator(postgresql: Mapping[str, Any]) -> bool:
    """Whether the password of the database's administrator is known, in a Secret of the namespace."""
    return bool((postgresql.get("admin_password") or {}).get("name"))


# Its realm


def realm(given: Given) -> Object:
    """Return the realm, as the module keycloak_realm takes it. It has secrets."""
    keycloak, secrets = of(given), given["secrets"]
    page = {
        "client_id": keycloak.client_id, "secret": secrets.get(CLIENT_SECRET, ""),
        "settings": {
            **_confidential(page=True),
            "attributes": {"pkce.code.challenge.method": "S256", "post.logout.redirect.uris": "##".join(_after_logout(keycloak.redirect_uris))},
            "redirectUris": [*keycloak.redirect_uris], "protocolMappers": [_groups(), _audience(keycloak.client_id)],
        },
    }  # fmt: skip
    programs = [
        {
            "client_id": each["name"], "secret": secrets.get(f"program-{each['name']}", ""), "groups": [*each.get("groups", ())],
            "settings": {**_confidential(page=False), "protocolMappers": [_groups(), _audience(keycloak.client_id)]},
        } for each in present(keycloak.programs)
    ]  # fmt: skip
    users = [
        {
            "name": each["name"], "password": secrets.get(f"user-{each['name']}", ""), "groups": [*each.get("groups", ())],
            "temporary_password": is_true(each.get("temporary_password", True)), "settings": _person(each),
        } for each in present(keycloak.users)
    ]  # fmt: skip
    gone = [each["name"] for each in keycloak.programs if each not in present(keycloak.programs)]
    left = [each["name"] for each in keycloak.users if each not in present(keycloak.users)]
    groups = [*keycloak.groups, *(group for each in (*programs, *users) for group in each["groups"])]
    return {
        "settings": {**SETTINGS, **keycloak.realm_settings}, "groups": list(dict.fromkeys(groups)), "clients": [page, *programs], "users": users,
        "absent_clients": gone, "absent_users": left,
    }  # fmt: skip


#: What is safer than Keycloak's own defaults: guessing a password takes long.
SETTINGS: Object = {"bruteForceProtected": True}


def _confidential(page: bool) -> Object:
    """A client with a secret: for people who log in in a browser, or a service account for a program."""
    return {
        "enabled": True, "protocol": "openid-connect", "publicClient": False, "standardFlowEnabled": page, "serviceAccountsEnabled": not page,
        "implicitFlowEnabled": False, "directAccessGrantsEnabled": False,
    }  # fmt: skip


def _after_logout(redirect_uris: Sequence[str]) -> list[str]:
    """Where a browser may go after a logout: to any page of where it may come back after a login.

    >>> _after_logout(["https://a.example/oauth2/callback", "https://a.example/other"])
    ['https://a.example/*']
    """
    return list(dict.fromkeys(f"{url.scheme}://{url.netloc}/*" for url in map(urlsplit, redirect_uris)))


def _groups() -> Object:
    config = {"claim.name": "groups", "full.path": "false", "id.token.claim": "true", "access.token.claim": "true", "userinfo.token.claim": "true"}
    return {"name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper", "config": config}


def _audience(client: str) -> Object:
    config = {"included.client.audience": client, "access.token.claim": "true", "id.token.claim": "false"}
    return {"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper", "config": config}


def _person(entry: Mapping[str, Any]) -> Object:
    """What Keycloak is told of a user; nothing of what the entry does not say."""
    names = {"email": "email", "first_name": "firstName", "last_name": "lastName"}
    found = {there: entry[here] for here, there in names.items() if entry.get(here)}
    return {"enabled": True, **found, **({"emailVerified": True} if "email" in found else {})}
