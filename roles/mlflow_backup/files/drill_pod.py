"""A drill of a set of a server in a cluster, in a pod that has MLflow, and beside it an empty PostgreSQL, of which no one else knows.

The network of the pod leads to the repository alone, so that nothing that was restored can reach anybody.
"""
from __future__ import annotations

import configparser
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from backup_repository import FOLDER, BackupError
from drill import PATIENCE, Scratch, drill

#: Where the PostgreSQL of the pod leaves the password of its administrator, and where its clients are.
POSTGRESQL, TOOLS = Path("/postgresql/password"), Path("/tools")
#: What the programs call a secret, by the key in the Secret of the server.
KEYS = {
    "mlflow_webhook_key": "webhook-key", "mlflow_crypto_passphrase": "crypto-passphrase", "mlflow_admin_password": "admin-password",
    "mlflow_flask_secret_key": "flask-secret-key",
}  # fmt: skip


class PodScratch(Scratch):
    """The folder of a drill in a pod."""

    def secret(self, name: str) -> str:
        """Return a key of the server's Secret, which alone has one for webhooks."""
        own = next((self.folder / "secrets").glob("*/webhook-key")).parent
        return (own / KEYS[name]).read_text()

    @property
    def password(self) -> str:
        """The password that the pod's PostgreSQL has made."""
        return POSTGRESQL.read_text()

    @property
    def programs(self) -> Path:
        """The folder that they were copied to."""
        return TOOLS

    @property
    def commands(self) -> tuple[list[str], list[str]]:
        """Those of the image."""
        return ["mlflow-schema"], ["mlflow-server"]

    @property
    def more(self) -> dict[str, str]:
        """What the pod of a backup does not have of the server's environment; and it is asked by its address."""
        return {"MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*", "MLFLOW_FLASK_SERVER_SECRET_KEY": self.secret("mlflow_flask_secret_key")}

    @contextmanager
    def postgresql(self) -> Iterator[None]:
        """Wait for the pod's PostgreSQL, which listens where any does."""
        object.__setattr__(self, "port", 5432)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if time.monotonic() > deadline:
                raise BackupError("mlflow_backup_drill: the pod's PostgreSQL does not start; the log of its container postgresql-server says why")
            time.sleep(1)
        yield

    def _answers(self) -> bool:
        try:
            psycopg2.connect(host="127.0.0.1", port=self.port, user="postgres", password=self.password, dbname="postgres").close()
        except (OSError, psycopg2.OperationalError):
            return False
        return True

    def authentication(self) -> tuple[str, str]:
        """With passwords alone, whatever the server takes besides: its programs for tokens are not here."""
        file, parser = self.folder / "set/auth.ini", configparser.ConfigParser()
        if parser.read(file):
            # It was a file of a Secret, which nobody may write to.
            file.chmod(0o600)
            parser["mlflow"].pop("authorization_function", None)
            with file.open("w") as output:
                parser.write(output)
        return super().authentication()


def drill_pod(request: Mapping[str, Any]) -> dict[str, Any]:
    """Try the set; lines for people."""
    (Path(request["home"]) / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    return drill(request, PodScratch)
