# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Workspaces by MLflow's REST API (https://mlflow.org/docs/latest/self-hosting/workspaces, MlflowService)."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ApiError, ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import model_registry
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient, segment
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.workspace import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan, State

_API = "/api/3.0/mlflow/workspaces"
#: Where to look for resources that prevent deleting a workspace: path, key of the answer, query, and what one entry is called.
_CONTENTS: tuple[tuple[str, str, dict[str, str], str], ...] = (
    # A deleted experiment still is in its workspace.
    ("/api/2.0/mlflow/experiments/search", "experiments", {"view_type": "ALL"}, "experiment"),
    ("/api/2.0/mlflow/registered-models/search", "registered_models", {}, "registered model"),
    ("/api/2.0/mlflow/registered-models/search", "registered_models", {"filter": model_registry.PROMPTS_ALONE}, "prompt"),
    ("/api/2.0/mlflow/webhooks", "webhooks", {}, "webhook"),
)


class Workspace:
    """One workspace, identified by its name."""

    immutable: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()

    def __init__(self, client: RestClient, params: Mapping[str, Any]) -> None:
        self._client = client
        self._name: str = params["name"]
        self._mode: str = params.get("mode") or "restrict"

    @classmethod
    def find(cls, client: RestClient, where: Mapping[str, Any]) -> Iterator[State]:
        """The workspace named ``name``, or all that the user may see. Raises Unsupported if the server has none."""
        client.require_workspaces("a workspace")
        if where.get("name") is not None:
            answer = client.get_or_none(f"{_API}/{segment(where['name'])}")
            entries = [answer["workspace"]] if answer else []
        else:
            entries = client.get(_API).get("workspaces", [])
        yield from map(_state, entries)

    def read(self) -> State | None:
        """Return the workspace's name, description and artifact root, or None."""
        return next(self.find(self._client, {"name": self._name}), None)

    def check(self, plan: Plan) -> None:
        """Raise ServerError for the deletion, with ``mode: restrict``, of a workspace that is not empty."""
        if plan.action != "delete" or self._mode != "restrict":
            return
        with closing(self._client.within(self._name)) as inside:
            for path, key, query, thing in _CONTENTS:
                for entry in inside.get(path, max_results=1, **query).get(key, []):
                    raise ServerError(
                        f"mode: restrict does not delete workspace {self._name!r}, which contains the {thing} {entry['name']!r}; empty it, "
                        "or choose set_default, which moves everything to the default workspace"
                    )

    def apply(self, plan: Plan) -> None:
        """Create, change or delete."""
        if plan.action == "delete":
            self._delete()
        elif plan.action == "create":
            # An empty string would be stored as the root; null lets the server choose.
            body = {key: value for key, value in (plan.after or {}).items() if value}
            self._client.write("POST", _API, body, idempotent=False)
        else:
            body = {change.path[0]: change.after for change in plan.changes}
            self._client.write("PATCH", f"{_API}/{segment(self._name)}", body)

    def _delete(self) -> None:
        try:
            self._client.write("DELETE", f"{_API}/{segment(self._name)}?mode={self._mode.upper()}", {})
        except ApiError as error:
            if error.code != "INVALID_STATE":
                raise
            raise ServerError(f"mode: {self._mode} does not delete workspace {self._name!r}: {_said(error)}") from None


def _said(error: ApiError) -> str:
    """Return the server's message on one line."""
    return " ".join(str(error).partition("INVALID_STATE): ")[2].split())


def _state(entry: Mapping[str, Any]) -> State:
    # Unset and empty fields are left out of the answer.
    return {key: entry.get(key, "") for key in ("name", "description", "default_artifact_root")}


WORKSPACE = Kind("workspaces", rules, Workspace, kept=rules.kept)
