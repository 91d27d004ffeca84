"""What a pod of MLflow sees of its databases, its artifacts and itself, as JSON: for run.py of the role embedded, with the settings ``port``."""
from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from asking import asked
from diagnose_inside import data

API, ARTIFACTS = "/api/2.0/mlflow/experiments/search?max_results=1", "/api/2.0/mlflow-artifacts/artifacts"


def schema(uri: str) -> str:
    """Return what the image's own program says of the schema."""
    environment = {**os.environ, "MLFLOW_SCHEMA_URI": uri}
    done = subprocess.run(["mlflow-schema", "status"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() or (done.stderr.strip().splitlines() or ["unknown"])[-1]


def seen(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything."""
    found = data(dict(os.environ), os.environ.get("MLFLOW_AUTH_CONFIG_PATH", ""))
    readable = not any(each["error"] for each in found["databases"])
    pair = {part: os.environ.get(f"MLFLOW_AUTH_ADMIN_{part}", "") for part in ("USERNAME", "PASSWORD")}
    login = {f"MLFLOW_TRACKING_{part}": text for part, text in pair.items()} if pair["USERNAME"] else {}
    base = f"http://127.0.0.1:{settings['port']}"
    health = asked(base, "/health", {})
    # Who does not answer once is not asked again.
    answers = {name: asked(base, path, login) if health["status"] else health for name, path in (("api", API), ("artifacts", ARTIFACTS))}
    return {**found, "schema": schema(os.environ["MLFLOW_BACKEND_STORE_URI"]) if readable else "", "health": health, **answers}


def main(settings: Mapping[str, Any]) -> int:
    """Print it."""
    print(json.dumps(seen(settings)))
    return 0
