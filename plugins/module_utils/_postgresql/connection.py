# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Connection options of the modules for PostgreSQL, and the session created from them.

The doc fragment ``postgresql`` documents them; a test checks that they agree.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, check_number
from ansible_collections.mlops.mlflow.plugins.module_utils._postgresql.session import Login, Server

#: The TLS modes (https://www.postgresql.org/docs/current/libpq-ssl.html, table 32.1).
SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


def argument_spec(**own: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the connection options together with a module's ``own``."""
    return {
        "login_host": {"type": "str", "default": "localhost", "fallback": (env_fallback, ["PGHOST"])},
        "login_port": {"type": "int", "default": 5432, "fallback": (env_fallback, ["PGPORT"])},
        "login_user": {"type": "str", "default": "postgres", "fallback": (env_fallback, ["PGUSER"])},
        "login_password": {"type": "str", "no_log": True, "fallback": (env_fallback, ["PGPASSWORD"])},
        "login_db": {"type": "str", "default": "postgres"},
        "ssl_mode": {"type": "str", "choices": SSL_MODES, "default": "prefer", "fallback": (env_fallback, ["PGSSLMODE"])},
        "ca_cert": {"type": "path", "fallback": (env_fallback, ["PGSSLROOTCERT"])},
        "connect_timeout": {"type": "int", "default": 10},
        **own,
    }


def server(params: Mapping[str, Any]) -> Server:
    """Return a session for ``params``, without connecting yet. Raises InvalidOption."""
    for option in ("login_host", "login_user", "login_db"):
        if not params[option] or "\0" in params[option]:
            raise InvalidOption(option, params[option], "is empty or contains a NUL character", "give a name, or leave it out")
    if "\0" in (params["login_password"] or ""):
        raise InvalidOption("login_password", "…", "contains a NUL character", "give the password that PostgreSQL has")
    if not 1 <= params["login_port"] <= 65535:
        raise InvalidOption("login_port", params["login_port"], "is not a port number", "give 1 to 65535")
    check_number("connect_timeout", params["connect_timeout"], 1, 86_400)
    return Server(
        Login(
            host=params["login_host"],
            port=params["login_port"],
            user=params["login_user"],
            password=params["login_password"],
            database=params["login_db"],
            ssl_mode=params["ssl_mode"],
            ca_cert=params["ca_cert"] or None,
            timeout=params["connect_timeout"],
        )
    )
