"""Asks an MLflow server for a path, with a login if there is one, within seconds."""
from __future__ import annotations

import base64
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

#: How long one answer may take, in seconds.
PATIENCE = 5


def asked(uri: str, path: str, login: Mapping[str, str]) -> dict[str, Any]:
    """Return what the server answers: ``status``, 0 if nothing, and what it says."""
    request = urllib.request.Request(uri + path)
    if "MLFLOW_TRACKING_USERNAME" in login:
        pair = f"{login['MLFLOW_TRACKING_USERNAME']}:{login.get('MLFLOW_TRACKING_PASSWORD', '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE) as answer:
            return {"status": int(answer.status), "says": answer.read(200).decode(errors="replace").strip()}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "says": " ".join(error.read(300).decode(errors="replace").split())}
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "says": str(getattr(error, "reason", error))}
