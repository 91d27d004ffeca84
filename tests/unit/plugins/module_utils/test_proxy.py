"""Which proxy a URL goes through."""
from __future__ import annotations

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.proxy import proxy_for

PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("scheme", "environment", "proxy"),
    [
        ("http", {}, None),
        ("http", {"HTTP_PROXY": PROXY}, PROXY),
        ("https", {"HTTP_PROXY": PROXY}, None),
        ("https", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https", {"ALL_PROXY": PROXY}, PROXY),
        ("http", {"HTTP_PROXY": "http://upper", "http_proxy": "http://lower"}, "http://lower"),
        ("http", {"HTTP_PROXY": "http://one", "ALL_PROXY": "http://two"}, "http://one"),
        ("http", {"HTTP_PROXY": ""}, None),
    ],
)
def test_the_variable_of_the_scheme_decides(scheme: str, environment: dict[str, str], proxy: str | None) -> None:
    assert proxy_for(scheme, "mlflow.example.com", environment) == proxy


@pytest.mark.parametrize(
    ("host", "no_proxy", "straight"),
    [
        ("mlflow.example.com", "mlflow.example.com", True),
        ("MLflow.Example.com", "mlflow.EXAMPLE.com", True),
        ("mlflow.example.com", "example.com", True),
        ("mlflow.example.com", ".example.com", True),
        ("mlflow.example.com", "localhost, .example.com ,other", True),
        ("mlflow.example.com", "*", True),
        ("mlflow.example.com", "", False),
        ("mlflow.example.com", ",,", False),
        ("notexample.com", "example.com", False),
        ("example.com.evil", "example.com", False),
        ("10.43.0.9", "10.43.0.0/16", True),
        ("10.44.0.9", "10.43.0.0/16", False),
        ("10.43.0.9", "10.43.0.9", True),
        ("fd00::1", "fd00::/8", True),
        ("mlflow.example.com", "10.0.0.0/8", False),
        ("10.43.0.9", "not/a/network", False),
    ],
)
def test_no_proxy_lists_hosts_domains_and_networks(host: str, no_proxy: str, straight: bool) -> None:
    assert (proxy_for("http", host, {"HTTP_PROXY": PROXY, "NO_PROXY": no_proxy}) is None) == straight
