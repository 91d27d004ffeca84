"""The realm of a login: what docs/single-sign-on.md says that Keycloak needs, people and programs of the group and outside of it."""
from __future__ import annotations

from typing import Any

from keycloak_server import user

GROUP, SECRET = "data-science", "the-secret-of-the-tests"


def groups_mapper() -> dict[str, Any]:
    claims = {f"{token}.token.claim": "true" for token in ("id", "access")}
    return {"name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper",
            "config": {"claim.name": "groups", "full.path": "false", "userinfo.token.claim": "true", **claims}}


def audience_mapper(audience: str) -> dict[str, Any]:
    return {"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
            "config": {"included.client.audience": audience, "access.token.claim": "true"}}


def program(name: str, *mappers: dict[str, Any], **attributes: str) -> dict[str, Any]:
    """A client with a service account."""
    return {
        "clientId": name, "secret": SECRET, "serviceAccountsEnabled": True, "standardFlowEnabled": False, "attributes": attributes,
        "defaultClientScopes": ["basic", "profile", "roles"], "protocolMappers": list(mappers),
    }  # fmt: skip


def realm(host: str) -> dict[str, Any]:
    """What docs/single-sign-on.md says that Keycloak needs, and who must not be let in."""
    page = {
        "clientId": "mlflow", "secret": SECRET, "redirectUris": [f"https://{host}/oauth2/callback"],
        "attributes": {"pkce.code.challenge.method": "S256"}, "protocolMappers": [groups_mapper()],
    }  # fmt: skip
    programs = [
        program("training", groups_mapper(), audience_mapper("mlflow")),
        program("short", groups_mapper(), audience_mapper("mlflow"), **{"access.token.lifespan": "3"}),
        program("elsewhere", groups_mapper()),
        program("outsider", groups_mapper(), audience_mapper("mlflow")),
    ]
    accounts = [
        {"username": f"service-account-{each['clientId']}", "enabled": True, "serviceAccountClientId": each["clientId"],
         "groups": [] if each["clientId"] == "outsider" else [f"/{GROUP}"]}
        for each in programs
    ]  # fmt: skip
    users = [user("alice", [GROUP]), user("mallory"), *accounts]
    return {"realm": "akko", "enabled": True, "groups": [{"name": GROUP}], "clients": [page, *programs], "users": users}
