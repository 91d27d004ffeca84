# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What is wrong with the variables of the role keycloak, one sentence each: the variable, its value, the remedy. No I/O."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.keycloak import DATABASE, Given, Keycloak, has_administrator, of, present
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object

_NAME = re.compile("[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")
#: A name that is in a URL, and in the key of a Secret.
_PLAIN = re.compile("[A-Za-z0-9][-._A-Za-z0-9]{0,99}")


def problems(given: Given) -> list[str]:
    """Return what is wrong with the variables, one sentence each, without a password."""
    keycloak = of(given)
    if not keycloak.host:
        return []
    if given["runtime"] != "kubernetes":
        return ["keycloak_host: Keycloak is deployed to a cluster, and this server is embedded; remove it, or set mlflow_server_auth: basic"]
    of_database = _database(keycloak, given["postgresql"], given["kubernetes"])
    return [*_names(keycloak), *_entries(keycloak), *_people(keycloak), *_entrance(keycloak), *of_database]


def _names(keycloak: Keycloak) -> Iterator[str]:
    if not _HOST.fullmatch(keycloak.host):
        yield f"keycloak_host: '{keycloak.host}' is not a host name; set one of its own in lower case, such as login.example.com"
    if any(uri.startswith(f"{keycloak.url}/") for uri in keycloak.redirect_uris):
        yield f"keycloak_host: '{keycloak.host}' is MLflow's own name, whose pages could then act for whoever is logged in; set another one"
    for name, value in (("realm", keycloak.realm), ("client_id", keycloak.client_id), ("admin_username", keycloak.admin_username)):
        if not _PLAIN.fullmatch(value):
            yield f"keycloak_{name}: '{value}' has characters other than letters, digits, '-', '.' and '_'; choose another name"
    if keycloak.realm == "master":
        yield "keycloak_realm: master is the realm of Keycloak's own administrators; choose another name, such as mlflow"
    if not _NAME.fullmatch(keycloak.name):
        yield (
            f"keycloak_name: '{keycloak.name}' is not a valid Service name; use at most 40 lower-case letters, digits and dashes, starting with a "
            "letter and not ending with a dash"
        )


def _entries(keycloak: Keycloak) -> Iterator[str]:
    for option, entries in (("users", keycloak.users), ("programs", keycloak.programs)):
        names = [str(each.get("name") or "") for each in entries]
        for name in names:
            if not _PLAIN.fullmatch(name):
                yield f"keycloak_{option}: the name '{name}' has characters other than letters, digits, '-', '.' and '_'; choose another one"
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"keycloak_{option}: '{name}' is listed more than once; keep one entry"


def _people(keycloak: Keycloak) -> Iterator[str]:
    if not keycloak.redirect_uris:
        yield (
            "keycloak_redirect_uris: is empty, and mlflow_server_host is not set, so that nobody could come back from the login; set "
            "mlflow_server_host"
        )
    for each in keycloak.users:
        if str(each.get("name") or "") != str(each.get("name") or "").lower():
            yield f"keycloak_users: Keycloak writes the name '{each['name']}' in lower case; do so, too"
    for each in present(keycloak.programs):
        if each.get("name") == keycloak.client_id:
            yield f"keycloak_programs: '{keycloak.client_id}' is the client of the login itself (keycloak_client_id); choose another name"
    groups = [*keycloak.groups, *(group for each in (*keycloak.users, *keycloak.programs) for group in each.get("groups") or ())]
    for group in sorted({str(group) for group in groups if not str(group) or re.search('[/,"\n]', str(group))}):
        yield f"keycloak_groups: '{group}' is empty or contains a slash, a comma, a quotation mark or a line end; choose another name"


def _entrance(keycloak: Keycloak) -> Iterator[str]:
    if keycloak.tls == "existing" and not keycloak.tls_secret:
        yield "keycloak_tls_secret: is empty, but keycloak_tls is existing; set the name of the Secret with the certificate"
    if keycloak.tls == "cert_manager" and not keycloak.tls_issuer:
        yield "keycloak_tls_issuer: is empty, but keycloak_tls is cert_manager; set the name of the issuer"
    for name, value in (("ingress_callers", keycloak.ingress_callers), ("callers", keycloak.callers)):
        if not value:
            yield f"keycloak_{name}: is empty, which Kubernetes treats as everyone; list who may connect"


def _database(keycloak: Keycloak, postgresql: Mapping[str, Any], kubernetes: Mapping[str, Any]) -> Iterator[str]:
    if not postgresql:
        yield (
            "postgresql_connection: it is not set; run the role mlops.mlflow.postgresql earlier in the same play, or the playbook mlops.mlflow.site, "
            "which runs all roles in order"
        )
        return
    if keycloak.database in (postgresql.get("database"), postgresql.get("auth_database")):
        yield f"keycloak_database: '{keycloak.database}' is MLflow's own; choose another name"
    if not has_administrator(postgresql) and not keycloak.database_password:
        yield (
            "keycloak_database_password: is empty, and PostgreSQL's administrator is not known here; create the database "
            f"'{keycloak.database}' with an owner of the same name, and set the owner's password"
        )
    yield from _moved(keycloak, kubernetes.get("workloads") or [])


def _moved(keycloak: Keycloak, workloads: list[Object]) -> Iterator[str]:
    for each in workloads:
        noted = (each.get("annotations") or {}).get(DATABASE, "")
        if each.get("name") == keycloak.name and noted and noted != keycloak.database:
            yield (
                f"keycloak_database: '{keycloak.database}' is not '{noted}', in which Keycloak has its users; set that name, or remove Keycloak first"
            )
