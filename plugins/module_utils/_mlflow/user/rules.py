# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of a user: options in, state out. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State

LABEL = "user"
OPTIONS: dict[str, dict[str, Any]] = {
    "username": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "password": {"type": "str", "no_log": True},
    "update_password": {"type": "str", "choices": ["always", "on_create"], "default": "always", "no_log": False},
    "is_admin": {"type": "bool"},
}

# Limits: mlflow/utils/validation.py and the columns of mlflow/server/auth/db/models.py, MLflow 3.17.
MAX_USERNAME = 255
#: The names of Kubernetes' service accounts, who have no password (roles/mlflow_server/files/jwt).
_SERVICE_ACCOUNT = re.compile("system:serviceaccount:[^:]+:[^:]+")
MIN_PASSWORD = 12
#: Longer ones do not fit into the Authorization header that proxies may accept.
MAX_PASSWORD = 1000

#: MLflow reads credentials as ASCII where it uploads and downloads artifacts (_authenticate_fastapi_request of mlflow/server/auth, 3.17).
_LOCKED_OUT = "with which MLflow does not allow uploading artifacts"


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would refuse, or would accept of a user who could never log in."""
    check_username("username", params["username"])
    password = params.get("password")
    if password is not None and ":" in params["username"]:
        raise InvalidOption("password", "…", "is for a service account, with whose name basic authentication cannot log in", "remove it")
    if password is not None and len(password) < MIN_PASSWORD:
        raise InvalidOption("password", "…", f"has fewer than {MIN_PASSWORD} characters", f"use {MIN_PASSWORD} or more")
    if password is not None and not password.isascii():
        raise InvalidOption("password", "…", f"has non-ASCII characters, {_LOCKED_OUT}", "use only ASCII characters")
    if password is not None and len(password) > MAX_PASSWORD:
        raise InvalidOption("password", "…", f"has {len(password)} characters, with which nobody could log in", f"give at most {MAX_PASSWORD}")


def check_username(option: str, username: str) -> None:
    """Raise InvalidOption for what cannot be the name of a user who logs in: by a password, or by the token of a service account.

    >>> check_username("username", "system:serviceaccount:airflow:worker")
    >>> check_username("username", "ann:smith")
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: username: 'ann:smith' contains ':', ...; use a name without it
    """
    tags.check_length(option, username, MAX_USERNAME, "user")
    if ":" in username and not _SERVICE_ACCOUNT.fullmatch(username):
        # RFC 7617, 2: the user-id ends at the first colon.
        raise InvalidOption(option, username, "contains ':', with which basic authentication cannot log in", "use a name without it")


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The user's name."""
    return (entry["username"],)


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state for ``params``, given the current one. Its ``password`` is ``set``, or ``differs`` from the desired one.

    Raises Refused if a new user has no password, or if the connecting user would be locked out.

    >>> desired_state({"username": "ann", "state": "present", "password": "…", "update_password": "always"}, {"username": "ann", "is_me": False})
    {'username': 'ann', 'password': 'set'}
    """
    name, is_me = params["username"], current is not None and current["is_me"]
    if params["state"] == "absent":
        if is_me:
            raise Refused(f"username: {name!r} is the connecting user, whom MLflow does not delete; connect as another administrator")
        return None
    if current is None and ":" in name:
        raise Refused(f"username: there is no user {name!r}; MLflow creates that of a service account when it sees its first token")
    if current is None and params.get("password") is None:
        raise Refused(f"username: there is no user {name!r}, and a new one needs a password; give password")
    if current is None and not name.isascii():
        raise Refused(f"username: {name!r} has non-ASCII characters, {_LOCKED_OUT}; use only ASCII characters in the name of a new user")
    if current and is_me and current["is_admin"] and params.get("is_admin") is False:
        raise Refused(f"is_admin: {name!r} is the connecting user, who would lose the right to continue; connect as another administrator")
    desired: State = {"username": name}
    if current is None:
        desired.update({"is_admin": False, "password": "set"})
    if params.get("is_admin") is not None:
        desired["is_admin"] = params["is_admin"]
    if params.get("password") is not None and params["update_password"] == "always":
        desired["password"] = "set"
    return desired


def declared(state: State) -> dict[str, Any] | None:
    """Return the entry of an export, to which a password must be added if the user does not exist yet. None for the connecting user.

    >>> declared({"username": "ann", "user_id": 2, "is_admin": False, "password": "set", "is_me": False})
    {'username': 'ann', 'is_admin': False}
    """
    return None if state["is_me"] else {"username": state["username"], "is_admin": state["is_admin"]}


def is_me(state: State) -> bool:
    """Whether it is the connecting user."""
    return bool(state["is_me"])
