# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The options that every module that talks to a tracking server shares, and the client made of them.

The doc fragment ``connection`` documents them; a test keeps the two alike.
"""
from __future__ import annotations

import os
from typing import Any, Dict, Mapping
from urllib.parse import urlsplit

from ansible.module_utils.basic import env_fallback
from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.rest import Connection, RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.module_utils._core.proxy import proxy_for


def argument_spec(**own: Dict[str, Any]) -> Dict[str, Dict[str, Any]]:
    """The connection's options with a module's ``own``."""
    return {
        "tracking_uri": {"type": "str", "required": True, "fallback": (env_fallback, ["MLFLOW_TRACKING_URI"])},
        "tracking_username": {"type": "str", "fallback": (env_fallback, ["MLFLOW_TRACKING_USERNAME"])},
        "tracking_password": {"type": "str", "no_log": True, "fallback": (env_fallback, ["MLFLOW_TRACKING_PASSWORD"])},
        "tracking_token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["MLFLOW_TRACKING_TOKEN"])},
        "ca_path": {"type": "path", "fallback": (env_fallback, ["MLFLOW_TRACKING_SERVER_CERT_PATH"])},
        "validate_certs": {"type": "bool", "default": True},
        "client_cert": {"type": "path", "fallback": (env_fallback, ["MLFLOW_TRACKING_CLIENT_CERT_PATH"])},
        "client_key": {"type": "path"},
        "timeout": {"type": "int", "default": 30, "fallback": (env_fallback, ["MLFLOW_HTTP_REQUEST_TIMEOUT"])},
        "retries": {"type": "int", "default": 3},
        **own,
    }


def client(params: Mapping[str, Any]) -> RestClient:
    """The client that ``params`` describe. Opens no connection yet. Raises InvalidOption."""
    uri = params["tracking_uri"]
    url = urlsplit(uri)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise InvalidOption("tracking_uri", uri, "is not an HTTP address", "give http://HOST:PORT or https://HOST of a tracking server")
    if url.username or url.password:
        raise InvalidOption(
            "tracking_uri", f"{url.scheme}://…@{url.hostname}", "holds credentials", "give them as tracking_username and tracking_password"
        )
    for option, least in (("timeout", 1), ("retries", 0)):
        if params[option] < least:
            raise InvalidOption(option, params[option], "is too small", f"give {least} or more")
    return RestClient(
        Connection(
            tracking_uri=uri,
            username=params["tracking_username"],
            password=params["tracking_password"],
            token=params["tracking_token"],
            ca_path=params["ca_path"] or None,
            validate_certs=params["validate_certs"],
            client_cert=params["client_cert"] or None,
            client_key=params["client_key"] or None,
            timeout=float(params["timeout"]),
            retries=params["retries"],
            proxy=proxy_for(url.scheme, url.hostname, os.environ),
        )
    )
