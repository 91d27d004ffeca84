"""The CPU time of each module, over that of an empty one."""
from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import Stack
from payloads import payload, run
from tracking_servers import Flavour, Servers

ROUNDS = 15
NAMED = {"name": "bench"}
#: A module and the arguments by which it makes what it then finds right, each after what it builds on.
MODULES: dict[str, dict[str, Any]] = {
    "mlflow_database": {**NAMED, "owner_password": "for-the-bench-alone", "grants": {}},
    "mlflow_bucket": {**NAMED, "tags": {"team": "risk"}},
    "mlflow_experiment": {**NAMED, "tags": {"team": "risk", "tier": "1"}},
    "mlflow_registered_model": {**NAMED, "description": "a", "tags": {"team": "risk", "tier": "1"}},
    "mlflow_model_version": {**NAMED, "source": "s3://bench/1", "aliases": ["champion"]},
    "mlflow_prompt": {"name": "bench-prompt", "versions": [{"template": "Sum up: {text}", "aliases": ["live"]}]},
    "mlflow_user": {"username": "bench", "password": "for-the-bench-alone"},
    "mlflow_role": {**NAMED, "permissions": [{"resource_type": "experiment", "resource": "bench", "permission": "READ"}], "users": ["bench"]},
    "mlflow_grant": {"username": "bench", "resource_type": "registered_model", "resource": "bench", "permission": "EDIT"},
    "mlflow_webhook": {**NAMED, "url": "https://127.0.0.1:9/", "events": ["registered_model.created"]},
    "mlflow_workspace": {**NAMED, "description": "a"},
    "mlflow_gateway_secret": {**NAMED, "provider": "openai", "value": {"api_key": "for-the-bench-alone"}},
    "mlflow_gateway_model_definition": {**NAMED, "secret": "bench", "provider": "openai", "model_name": "gpt-5"},
    "mlflow_gateway_endpoint": {**NAMED, "models": [{"model_definition": "bench"}]},
    "mlflow_experiment_info": NAMED,
    "mlflow_registered_model_info": NAMED,
    "mlflow_model_version_info": NAMED,
    "mlflow_prompt_info": {"name": "bench-prompt"},
    "mlflow_user_info": {},
    "mlflow_role_info": {},
    "mlflow_grant_info": {},
    "mlflow_webhook_info": {},
    "mlflow_workspace_info": {},
    "mlflow_gateway_secret_info": {},
    "mlflow_gateway_model_definition_info": {},
    "mlflow_gateway_endpoint_info": {},
    "mlflow_run_info": {"experiments": ["bench"]},
    "mlflow_server_info": {},
}
#: What is not on the server that ends with the measurement.
LEFT: dict[str, dict[str, Any]] = {
    "mlflow_database": {**NAMED, "state": "absent", "remove_owner": True},
    "mlflow_bucket": {**NAMED, "state": "absent"},
}


def module_costs(deployed: Stack) -> Iterator[tuple[str, str]]:
    """The rows of the table. The modules find everything right, and take turns; the server has all that they need."""
    with Servers() as servers, tempfile.TemporaryDirectory() as folder:
        server = servers(Flavour("3.17.2", "sqlite", auth=True, workspaces=True)).stack
        stack = replace(
            deployed, tracking_uri=server.tracking_uri, tracking_username=server.tracking_username, tracking_password=server.tracking_password
        )
        costs = _costs(stack, Path(folder))
        for name, absent in LEFT.items():
            payload(f"mlops.mlflow.{name}", absent, stack, Path(folder, "end"))
    empty = statistics.median(costs.pop("empty"))
    yield "CPU of an empty module", f"{empty * 1000:.0f} ms"
    for name, each in costs.items():
        middle = statistics.median(each)
        yield f"CPU of {name} over that", f"{middle / empty:.2f}  ({middle * 1000:.0f} ms)"


def _costs(stack: Stack, folder: Path) -> dict[str, list[float]]:
    """The CPU seconds of each run of each module."""
    environment = {**os.environ, **stack.environment()}
    payloads = {"empty": payload("empty", {}, stack, folder)}
    payloads |= {name: payload(f"mlops.mlflow.{name}", present, stack, folder) for name, present in MODULES.items()}
    costs: dict[str, list[float]] = {name: [] for name in payloads}
    for number in range(ROUNDS + 1):
        for name, path in payloads.items():
            done = run(stack.python, path, environment)
            if done.result.get("changed"):
                sys.exit(f"bench: {name} found something to change: {done.output}")
            if number:  # the first round warms the caches
                costs[name].append(done.cpu)
    return costs
