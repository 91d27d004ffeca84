"""Who calls MLflow: its authorization function for bearer tokens of trusted issuers, beside the passwords of its own users.

``authorization_function = jwt_auth:authorize`` in the file of MLflow's basic authentication; MLOPS_MLFLOW_JWT names a JSON file with the fields of
``jwt_tokens.Settings``. A user is created at the first sight of a token, and gets the MLflow roles that the token's groups stand for.
"""
from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from jwt_tokens import ANONYMOUS, LOGGER, TOKEN, Identity, Refused, Settings, Verifier

#: How many verified tokens are remembered.
REMEMBERED = 10000
#: Where MLflow's users and roles are managed, which is not for callers who are nobody.
_OF_USERS, _WHO_AM_I = re.compile("/mlflow/+(users|roles)(/|$)|/signup"), re.compile("/mlflow/users/current(/permissions)?$")


# MLflow's users


@contextmanager
def _unless(code: str) -> Iterator[None]:
    """Ignore this error of MLflow's store: another worker was faster."""
    try:
        yield
    except Exception as error:
        if getattr(error, "error_code", "") != code:
            raise


def admit(store: Any, identity: Identity, managed: frozenset[tuple[str, str]]) -> None:
    """Create the user where there is none, give it its roles, and take those of ``managed`` that it no longer has."""
    if not store.has_user(identity.username):
        with _unless("RESOURCE_ALREADY_EXISTS"):
            store.create_user(identity.username, secrets.token_urlsafe(32), is_admin=bool(identity.is_admin))
            LOGGER.info("created the user %r", identity.username)
    user = store.get_user(identity.username)
    if identity.is_admin is not None and user.is_admin != identity.is_admin:
        store.update_user(identity.username, is_admin=identity.is_admin)
    if not managed:
        return
    there = {(role.workspace, role.name): role.id for role in store.list_user_roles(user.id)}
    for workspace, name in sorted(identity.roles - there.keys()):
        role = None
        with _unless("RESOURCE_DOES_NOT_EXIST"):
            role = store.get_role_by_name(workspace, name)
        if role is None:
            LOGGER.warning("a token stands for the role %r of the workspace %r, which MLflow does not have", name, workspace)
            continue
        with _unless("RESOURCE_ALREADY_EXISTS"):
            store.assign_role_to_user(user.id, role.id)
    for each in (there.keys() & managed) - identity.roles:
        with _unless("RESOURCE_DOES_NOT_EXIST"):
            store.unassign_role_from_user(user.id, there[each])


class Door:
    """Says who calls, from the header of a request, and remembers it for a while."""

    def __init__(
        self, settings: Settings, store: Any, verifier: Verifier | None = None, now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._settings, self._store, self._now, self._clock = settings, store, now, clock
        self._verifier = verifier or Verifier(settings, now=now)
        self._known: dict[bytes, tuple[Identity, float]] = {}
        self._admitting = threading.Lock()

    def caller(self, header: str, method: str, path: str) -> str | None:
        """Return the name of MLflow's user as whom the request is made; None leaves it to MLflow, which knows passwords."""
        scheme, _space, rest = header.strip().partition(" ")
        if not scheme:
            return self._anonymous(method, path)
        if scheme.lower() == "basic":
            if TOKEN.fullmatch(_password(rest)):
                raise self._refused("A token is no password: send it as MLFLOW_TRACKING_TOKEN.")
            return None
        if scheme.lower() != "bearer":
            raise self._refused("The request's Authorization is neither Bearer nor Basic.")
        try:
            return self._admitted(rest.strip())
        except Refused as refused:
            if refused.status != 401:
                raise
            LOGGER.info("refused: %s", refused.message)
            raise self._refused(f"MLflow does not take this token: {refused.message}.", 'Bearer realm="mlflow", error="invalid_token"') from refused

    def _anonymous(self, method: str, path: str) -> str:
        is_all = self._settings.anonymous == "everything"
        is_of_users = _OF_USERS.search(path) and not (method == "GET" and _WHO_AM_I.search(path))
        if self._settings.anonymous == "refuse" or (is_all and is_of_users):
            raise self._refused("The request has no token.", 'Bearer realm="mlflow"', 'Basic realm="mlflow"')
        self._admit(b"", Identity(ANONYMOUS, is_admin=is_all))
        return ANONYMOUS

    def _admitted(self, token: str) -> str:
        digest = hashlib.sha256(token.encode()).digest()
        identity = self._remembered(digest) or self._verifier.identity(token)
        self._admit(digest, identity)
        return identity.username

    def _remembered(self, digest: bytes) -> Identity | None:
        identity, until = self._known.get(digest) or (None, 0.0)
        return identity if identity and self._clock() < until and self._now() < identity.expires else None

    def _admit(self, digest: bytes, identity: Identity) -> None:
        if self._remembered(digest):
            return
        with self._admitting:
            if self._remembered(digest):
                return
            admit(self._store, identity, frozenset() if identity.username == ANONYMOUS else self._settings.managed)
            while len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known.pop(digest, None)
            self._known[digest] = identity, self._clock() + self._settings.cache_seconds

    def _refused(self, why: str, *challenges: str) -> Refused:
        trusted = self._settings.trusted
        whose = " or ".join(f"{each.issuer} for the audience {each.audience}" for each in trusted)
        pods = ", or MLFLOW_TRACKING_AUTH=kubernetes in a pod" if any(each.kubernetes for each in trusted) else ""
        words = (
            f"{why} Set MLFLOW_TRACKING_TOKEN to an access token of {whose}{pods}, and unset MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
            "which take precedence over it."
        )
        return Refused(words, 401, challenges or ('Bearer realm="mlflow"',))


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials.strip()).decode().partition(":")[2]
    except ValueError:
        return ""


@cache
def _door() -> Door:
    from mlflow.server import auth  # noqa: PLC0415

    return Door(Settings(**json.loads(Path(os.environ["MLOPS_MLFLOW_JWT"]).read_text())), auth.store)


def authorize() -> Any:
    """What MLflow calls, within a request of Flask's: an Authorization with the user's name, or the answer to the request."""
    from flask import make_response, request  # noqa: PLC0415
    from mlflow.server import auth  # noqa: PLC0415
    from werkzeug.datastructures import Authorization  # noqa: PLC0415

    header = request.headers.get("Authorization", "")
    if request.path.startswith("/gateway/"):
        # There, Authorization may be for the provider of a model.
        header = request.headers.get("X-MLflow-Authorization") or header
    try:
        username = _door().caller(header, request.method, request.path)
    except Refused as refused:
        code = "UNAUTHENTICATED" if refused.status == 401 else "TEMPORARILY_UNAVAILABLE"
        response = make_response({"error_code": code, "message": refused.message}, refused.status)
        for challenge in refused.challenges:
            response.headers.add("WWW-Authenticate", challenge)
        return response
    return auth.authenticate_request_basic_auth() if username is None else Authorization("bearer", {"username": username})
