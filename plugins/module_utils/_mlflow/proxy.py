# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Selects the proxy for a URL by the environment variables that curl and MLflow's client use."""
from __future__ import annotations

from collections.abc import Mapping


def proxy_for(scheme: str, host: str, environment: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for ``scheme://host``, or None for a direct connection.

    ``environment`` holds ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` or their lower-case
    variants, which take precedence. ``NO_PROXY`` is a comma-separated list of hosts, domain suffixes and networks, or ``*``.

    >>> proxy_for("http", "mlflow.example.com", {"http_proxy": "http://proxy:3128"})
    'http://proxy:3128'
    >>> proxy_for("http", "mlflow.example.com", {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,.example.com"})
    >>> proxy_for("https", "mlflow", {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"})
    >>> proxy_for("http", "10.43.0.9", {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "10.42.0.0/15"})
    >>> proxy_for("https", "notexample.com", {"ALL_PROXY": "http://proxy:3128", "NO_PROXY": "example.com"})
    'http://proxy:3128'
    """

    def variable(name: str) -> str:
        return environment.get(name.lower()) or environment.get(name.upper()) or ""

    if any(_covers(entry.strip().lower(), host.lower()) for entry in variable("no_proxy").split(",")):
        return None
    return variable(f"{scheme}_proxy") or variable("all_proxy") or None


def _covers(entry: str, host: str) -> bool:
    if "/" in entry:
        import ipaddress  # noqa: PLC0415 - rarely needed, and costs milliseconds

        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    suffix = entry.lstrip(".")
    return suffix == "*" or (suffix != "" and (host == suffix or host.endswith("." + suffix)))
