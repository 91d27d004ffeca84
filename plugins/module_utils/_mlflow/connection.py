# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Connection options of the modules for MLflow, and the client created from them.

The doc fragment ``tracking`` documents them; a test checks that they agree.
"""
from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ansible.module_utils.basic import env_fallback

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.proxy import proxy_for
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import Connection, RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.workspace.rules import check_name
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, check_number, without_credentials


def argument_spec(**own: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the connection options together with a module's ``own``."""
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
        "workspace": {"type": "str", "fallback": (env_fallback, ["MLFLOW_WORKSPACE"])},
        **own,
    }


def client(params: Mapping[str, Any]) -> RestClient:
    """Return a client for ``params``, without connecting yet. Raises InvalidOption."""
    uri, token = params["tracking_uri"], params["tracking_token"]
    url = _checked(uri)
    if token and not re.fullmatch(r"[!-~]+", token):
        raise InvalidOption("tracking_token", "…", "contains a space, a line break or a non-ASCII character", "give only the token")
    check_number("timeout", params["timeout"], 1, 86_400)
    check_number("retries", params["retries"], 0, 100)
    if params["workspace"]:
        check_name("workspace", params["workspace"])
    return RestClient(
        Connection(
            tracking_uri=uri,
            username=params["tracking_username"],
            password=params["tracking_password"],
            token=token,
            ca_path=params["ca_path"] or None,
            validate_certs=params["validate_certs"],
            client_cert=params["client_cert"] or None,
            client_key=params["client_key"] or None,
            timeout=float(params["timeout"]),
            retries=params["retries"],
            workspace=params["workspace"] or None,
            proxy=proxy_for(url.scheme, url.hostname or "", os.environ),
        )
    )


def _checked(uri: str) -> SplitResult:
    """Return the parts of ``uri``. Raises InvalidOption if it is not the URL of a server."""
    remedy = "give http://HOST:PORT or https://HOST of a tracking server, and its path if it has one"
    try:
        url = urlsplit(uri)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is not a number, or an incomplete IPv6 address
        usable = False
    if not usable or not re.fullmatch(r"[!-~]+", uri):
        raise InvalidOption("tracking_uri", without_credentials(uri), "is not an HTTP address", remedy)
    if url.username or url.password:
        raise InvalidOption(
            "tracking_uri", f"{url.scheme}://…@{url.hostname}", "contains credentials", "give them as tracking_username and tracking_password"
        )
    if url.query or url.fragment:
        raise InvalidOption("tracking_uri", uri, "has more than the server's URL", remedy)
    return url
