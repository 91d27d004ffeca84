"""The image's own test, while it is built: ``check.py imports`` and ``check.py server``. A wrong lock file never becomes an image.

``imports`` loads what the server loads, also what it loads when first asked for: drivers, stores, authentication, metrics, gateway.
``server`` starts the server, with authentication and metrics, on SQLite, and asks it for its health, its page and its API.
"""
from __future__ import annotations

import base64
import importlib
import importlib.util
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path

MODULES = (
    "boto3",
    "httptools",
    "psycopg",
    "psycopg2",
    "uvloop",
    "mlflow.cli",
    "mlflow.pyfunc",
    "mlflow.server.fastapi_app",
    "mlflow.server.prometheus_exporter",
    "mlflow.store.artifact.s3_artifact_repo",
    "mlflow.store.db.utils",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.gateway.providers.anthropic",
    "mlflow.gateway.providers.bedrock",
    "mlflow.gateway.providers.gemini",
    "mlflow.gateway.providers.openai",
    "mlflow.utils.crypto",
    "mlflow.webhooks.delivery",
    "flask_wtf",
)
START_SECONDS = 180


def imports() -> None:
    """Import everything, and let boto3 read its description of S3."""
    for name in MODULES:
        importlib.import_module(name)
    if importlib.util.find_spec("mlflow_oidc_auth"):
        importlib.import_module("mlflow_oidc_auth.oauth")
        importlib.import_module("mlflow_oidc_auth.db.cli")
    import boto3  # noqa: PLC0415

    for service in ("s3", "sts"):
        boto3.client(service, region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    print(f"mlflow {version('mlflow')}: {len(MODULES)} modules are there")


def _get(uri: str, authorization: str = "") -> str:
    request = urllib.request.Request(uri, headers={"Authorization": authorization} if authorization else {})
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(response.read().decode())


def _wait(process: subprocess.Popen[bytes], uri: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _get(f"{uri}/health")
        except OSError:
            time.sleep(1)
        else:
            return
    sys.exit(f"the server did not come up within {START_SECONDS} s; the reason is above")


def server() -> None:
    """Start the server in a folder of its own and ask it for one thing of each part."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        password = secrets.token_urlsafe(18)
        Path(folder, "metrics").mkdir()
        ini = Path(folder, "auth.ini")
        ini.write_text(f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\nadmin_username = admin\n")
        environment = os.environ | {
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
            "MLFLOW_ARTIFACTS_DESTINATION": f"{folder}/artifacts",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_EXPOSE_PROMETHEUS": f"{folder}/metrics",
            "MLFLOW_AUTH_CONFIG_PATH": str(ini),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(18),
            "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        }
        command = ["mlflow-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--app-name", "basic-auth"]
        process = subprocess.Popen(command, env=environment, cwd=folder)
        try:
            _ask(process, f"http://127.0.0.1:{port}", "Basic " + base64.b64encode(f"admin:{password}".encode()).decode())
        finally:
            process.terminate()
            process.wait(60)


def _ask(process: subprocess.Popen[bytes], uri: str, admin: str) -> None:
    _wait(process, uri)
    expected = {"/": "<div id=\"root\"", "/api/2.0/mlflow/experiments/search?max_results=1": "Default", "/metrics": "mlflow_exporter_info"}
    for path, text in expected.items():
        if text not in _get(uri + path, admin):
            sys.exit(f"{path} does not have {text!r}")
    try:
        _get(f"{uri}/api/2.0/mlflow/experiments/search?max_results=1")
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise
    else:
        sys.exit("the server answers without a password")
    print("the server answers with its page, its API and its metrics")


if __name__ == "__main__":
    {"imports": imports, "server": server}[sys.argv[1]]()
