# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The properties of a server, derived from the responses of its endpoints. No I/O."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The version that introduced each feature: aliases mlflow#7896, prompts and logged models by their release notes.
_SINCE = {"aliases": (2, 3, 0), "prompts": (2, 21, 0), "logged_models": (3, 0, 0), "webhooks": (3, 3, 0)}


def described(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a server from its responses ``found``. A feature is None if it is unknown.

    >>> described({"version": (2, 22, 5), "info": {}, "is_basic": True, "has_roles": False, "authenticated": True})["features"]["webhooks"]
    False
    >>> facts = described({"version": None, "info": {"workspaces_enabled": True}, "authenticated": False})
    >>> facts["version"], facts["authentication"], facts["features"]["workspaces"], facts["features"]["aliases"]
    (None, 'unknown', True, None)
    """
    version, info, user = found["version"], found["info"], found.get("user") or {}
    return {
        "version": ".".join(map(str, version)) if version else None,
        "healthy": found.get("healthy"),
        "ready": found.get("ready"),
        "authenticated": found["authenticated"],
        "authentication": "oidc_plugin" if found.get("is_plugin") else {True: "basic", False: "none", None: "unknown"}[found.get("is_basic")],
        "username": user.get("username"),
        "is_admin": user.get("is_admin"),
        "store_type": (info or {}).get("store_type"),
        "features": _features(version, info, found.get("has_roles")),
        "problem": found.get("problem", ""),
    }


def _features(version: tuple[int, ...] | None, info: Mapping[str, Any] | None, has_roles: bool | None) -> dict[str, bool | None]:
    features: dict[str, bool | None] = {feature: version >= since if version else None for feature, since in _SINCE.items()}
    # A server with a file store has no table for them.
    if (info or {}).get("store_type") == "FileStore":
        features["webhooks"] = False
    features["roles"] = has_roles
    features["gateway"] = None if info is None else bool(info.get("features_enabled", {}).get("gateway"))
    for feature in ("workspaces", "trace_archival"):
        features[feature] = None if info is None else bool(info.get(f"{feature}_enabled"))
    return dict(sorted(features.items()))
