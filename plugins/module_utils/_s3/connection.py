# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Connection options of the modules for S3, and the client created from them.

The doc fragment ``s3`` documents them; a test checks that they agree.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ansible.module_utils.basic import env_fallback

from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, check_number, without_credentials
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.bucket.rules import is_aws
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.client import Connection, S3Client


def argument_spec(**own: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the connection options together with a module's ``own``."""
    return {
        "endpoint_url": {
            "type": "str",
            "fallback": (env_fallback, ["MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
        },
        "region": {"type": "str", "default": "us-east-1", "fallback": (env_fallback, ["AWS_REGION", "AWS_DEFAULT_REGION"])},
        "access_key": {"type": "str", "no_log": False, "fallback": (env_fallback, ["AWS_ACCESS_KEY_ID"])},
        "secret_key": {"type": "str", "no_log": True, "fallback": (env_fallback, ["AWS_SECRET_ACCESS_KEY"])},
        "session_token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["AWS_SESSION_TOKEN"])},
        "ca_path": {"type": "path", "fallback": (env_fallback, ["AWS_CA_BUNDLE"])},
        "validate_certs": {"type": "bool", "default": True},
        "addressing_style": {"type": "str", "choices": ["path", "virtual", "auto"], "default": "path"},
        "timeout": {"type": "int", "default": 30},
        "retries": {"type": "int", "default": 3},
        **own,
    }


def client(params: Mapping[str, Any]) -> S3Client:
    """Return a client for ``params``, without connecting yet. Raises InvalidOption."""
    if params["endpoint_url"]:
        url = urlsplit(params["endpoint_url"])
        if url.scheme not in ("http", "https") or not url.hostname or not _has_port(url):
            raise InvalidOption(
                "endpoint_url",
                without_credentials(params["endpoint_url"]),
                "is not an HTTP address",
                "give http://HOST:PORT or https://HOST of an S3 server",
            )
        if url.username or url.password:
            raise InvalidOption("endpoint_url", f"{url.scheme}://…@{url.hostname}", "contains credentials", "give them as access_key and secret_key")
    for given, lacking in (("access_key", "secret_key"), ("secret_key", "access_key")):
        if params[given] and not params[lacking]:
            raise InvalidOption(lacking, "", f"is empty, and {given} is given", "give both, or neither for the host's own AWS credentials")
    check_number("timeout", params["timeout"], 1, 86_400)
    check_number("retries", params["retries"], 0, 100)
    return S3Client(
        Connection(
            region=params["region"],
            endpoint_url=params["endpoint_url"] or None,
            is_aws=is_aws(params["endpoint_url"]),
            access_key=params["access_key"] or None,
            secret_key=params["secret_key"] or None,
            session_token=params["session_token"] or None,
            ca_path=params["ca_path"] or None,
            validate_certs=params["validate_certs"],
            addressing_style=params["addressing_style"],
            timeout=float(params["timeout"]),
            retries=params["retries"],
        )
    )


def _has_port(url: SplitResult) -> bool:
    """Whether ``url`` has a valid port, or none."""
    try:
        return url.port != 0
    except ValueError:
        return False
