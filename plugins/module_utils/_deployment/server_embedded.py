# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""An MLflow server in the embedded stack: the files that it reads, and the commands around its database. No I/O."""
from __future__ import annotations

import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import server_jwt, server_metrics, server_settings
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Database, Store
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server import Server
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_settings import PASSPHRASE, WEBHOOK_KEY
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import checksum

#: The keys of which server.env has a checksum, so that a later run can tell whether they are still those in use (roles/embedded/files/stack.py).
_ENCRYPTING = ("mlflow_webhook_key", "mlflow_crypto_passphrase")


@dataclass(frozen=True)
class Stack:
    """``embedded_runtime``: its folder, and the programs in it."""

    home: str = ""
    postgresql_programs: str = ""
    mlflow_version: str = ""
    #: What changes with the packages.
    packages: str = ""


@dataclass(frozen=True)
class Embedded:
    """A server in the embedded stack: its variables, what earlier roles published for it, and the stack's secrets by name."""

    server: Server
    stack: Stack
    database: Database
    store: Store
    secrets: Mapping[str, str] = field(default_factory=dict)
    #: The programs that verify tokens, if the server takes them.
    jwt_programs: Sequence[str] = ()
    #: The program that tells metrics.
    exporter: str = ""

    @property
    def home(self) -> str:
        """The folder of the server."""
        return f"{self.stack.home}/mlflow"

    @property
    def environment(self) -> dict[str, Any]:
        """The whole environment of the server."""
        server, secrets = self.server, self.secrets
        referred = {
            name: secrets.get(reference["file"].rpartition("/")[2], "")
            for name, reference in server_settings.references(self.database, self.store).items()
        }
        keys = {
            # Without a Fernet key, each process makes one of its own, and others cannot read its webhooks.
            WEBHOOK_KEY: b64encode(secrets.get("mlflow_webhook_key", "").encode()).decode(),
            PASSPHRASE: secrets.get("mlflow_crypto_passphrase", ""),
        }
        auth = {
            "MLFLOW_AUTH_CONFIG_PATH": f"{self.home}/auth.ini",
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.get("mlflow_flask_secret_key", ""),
            # Only used until an administrator exists.
            "MLFLOW_AUTH_ADMIN_USERNAME": server.admin_username,
            "MLFLOW_AUTH_ADMIN_PASSWORD": secrets.get("mlflow_admin_password", ""),
        }
        return {
            **server_settings.settings(server, self.database, self.store), "MLOPS_MLFLOW_PACKAGES": self.stack.packages,
            **({"MLFLOW_EXPOSE_PROMETHEUS": f"{self.home}/metrics"} if server.metrics_enabled else {}),
            **referred, **keys, **(auth if server.is_basic else {}), **server.environment, **server_jwt.environment(server, f"{self.home}/jwt"),
        }  # fmt: skip

    @cached_property
    def service_files(self) -> dict[str, str]:
        """The files that the server reads when it starts, with their contents."""
        used = [f"# {key}: {checksum(self.secrets.get(key, '') + key)}" for key in _ENCRYPTING]
        variables = [f"{name}={shlex.quote(str(value))}" for name, value in self.environment.items()]
        head = ["# Written by mlops.mlflow.mlflow_server; changes are overwritten.", f"# MLflow {self.stack.mlflow_version}"]
        auth = {f"{self.home}/auth.ini": server_settings.auth_ini(self.server, self.database.auth_uri)} if self.server.is_basic else {}
        tokens = {f"{self.home}/jwt/{name}": text for name, text in server_jwt.files(self.server, self.jwt_programs).items()}
        return {f"{self.home}/server.env": _lines([*head, *used, *variables]), **auth, **tokens}

    @property
    def metrics_files(self) -> dict[str, str]:
        """The files of the exporter, of which server.env is one; {} without metrics."""
        made = server_metrics.embedded_files(self.server, f"{self.stack.home}/metrics", self.exporter)
        environment = f"{self.home}/server.env"
        return {**made, environment: self.service_files[environment]} if made else {}

    @property
    def metrics_command(self) -> str:
        """The shell command that runs it with the server's environment; the stack's own Python is ``$1``."""
        words = [f"{self.stack.home}/metrics/{server_metrics.PROGRAM}", *server_metrics.arguments(self.server, "127.0.0.1", self.stack.home)]
        return f'set -a && . {shlex.quote(f"{self.home}/server.env")} && exec "$1" {shlex.join(words)}'

    @property
    def with_password(self) -> list[str]:
        """What a command is run by that needs the database's password: a task's environment is visible on its shell's command line."""
        read = [
            f"{name}=$(head -n 1 {shlex.quote(reference['file'])}) && export {name} && "
            for name, reference in self.database.secret_environment.items()
        ]
        return ["sh", "-c", f'{"".join(read)}exec "$@"', "sh"]

    @property
    def dump(self) -> str:
        """The shell command that dumps the databases into the folder of backups, each under its final name only when it is complete.

        A second attempt does not overwrite the dump of the first.
        """
        database, folder = self.database, shlex.quote(f"{self.stack.home}/backups")
        names = [database.database, *([database.auth_database] if self.server.is_basic else [])]
        # Not quoted: the shell finds the folder of PostgreSQL's programs, whose name has a pattern.
        program = f"{self.stack.postgresql_programs}/pg_dump --host={shlex.quote(database.host)} --port={database.port}"
        return (
            f"umask 077 && mkdir -p {folder} && cd {folder} && now=$(date +%Y%m%d-%H%M%S) && for name in {' '.join(map(shlex.quote, names))}; do "
            f'{program} --username={shlex.quote(database.user)} --no-password --format=custom --file="$name.new" "$name" '
            '&& mv "$name.new" "$name-$now.dump" || exit 1; done'
        )


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
