"""What it costs mlflow_resources to verify the passwords of declared users."""
from __future__ import annotations

import base64
import json
import os
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness import Stack
from payloads import payload, run, turns, unchanged
from tracking_servers import Flavour, Servers

MODULE = "mlops.mlflow.mlflow_resources"
USERS = 20
ROUNDS = 5


def passwords(deployed: Stack) -> Iterator[tuple[str, str]]:
    """The rows of the table, against a server that caches logins for a minute, as the collection deploys it.

    Only a login tells whether a password is right, and only the server can compare it with its hash (scrypt, a tenth of a second of CPU by
    design). So what remains is one hash a user and a minute.
    """
    users = [{"username": f"bench-{number}"} for number in range(USERS)]
    known = [{**user, "password": f"the password of {user['username']}"} for user in users]
    with Servers() as servers, tempfile.TemporaryDirectory() as folder:
        server = servers(Flavour("3.17.2", "postgresql", auth=True)).stack
        stack = replace(
            deployed, tracking_uri=server.tracking_uri, tracking_username=server.tracking_username, tracking_password=server.tracking_password
        )
        environment = {**os.environ, **stack.environment()}
        having = payload(MODULE, {"users": known}, stack, Path(folder, "having"))
        lacking = payload(MODULE, {"users": users}, stack, Path(folder, "lacking"))
        ways = {
            "having": lambda: unchanged(run(stack.python, having, environment)),
            "lacking": lambda: unchanged(run(stack.python, lacking, environment)),
        }

        def forget() -> None:
            """A new password, though it be the same, makes the server forget the user's logins."""
            for user in known:
                _set_password(stack, user)

        for what, before in (("logins in the server's cache", lambda: None), ("logins not in its cache", forget)):
            costs = turns(deployed, ways, ROUNDS, before)
            yield f"{USERS} users with passwords, over without; {what}", costs["having"].over(costs["lacking"])


def _set_password(stack: Stack, user: dict[str, str]) -> None:
    login = base64.b64encode(f"{stack.tracking_username}:{stack.tracking_password}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
    address = f"{stack.tracking_uri}/api/2.0/mlflow/users/update-password"
    with urllib.request.urlopen(urllib.request.Request(address, json.dumps(user).encode(), headers, method="PATCH")):
        pass
