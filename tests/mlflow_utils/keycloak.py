"""A real Keycloak on loopback with what the device flow needs, and a person who uses its pages."""
from __future__ import annotations

import http.cookiejar
import re
import urllib.parse
import urllib.request
from html import unescape
from pathlib import Path

from keycloak_server import KeycloakServer, Place, user
from mlflow_server import free_port


class Keycloak(KeycloakServer):
    """Keycloak with a public client ``mlflow-cli`` for the device flow, and the user alice."""

    def __init__(self, folder: Path, token_seconds: int) -> None:
        client = {
            "clientId": "mlflow-cli",
            "publicClient": True,
            "standardFlowEnabled": False,
            "attributes": {"oauth2.device.authorization.grant.enabled": "true", "pkce.code.challenge.method": "S256"},
        }
        realm = {"realm": "mlops", "enabled": True, "accessTokenLifespan": token_seconds, "clients": [client], "users": [user("alice")]}
        super().__init__(folder, Place("127.0.0.1", free_port()), realm)

    def __enter__(self) -> Keycloak:
        super().__enter__()
        return self

    def confirm(self, address: str, user: str, password: str) -> None:
        """Do what a person does in a browser: log in, and allow the device."""
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(_Cookies()))
        page = browser.open(address, timeout=60).read().decode()
        page = self._submit(browser, page, {"username": user, "password": password})
        page = self._submit(browser, page, {"accept": "Yes"})
        assert "Successful" in page, page

    def _submit(self, browser: urllib.request.OpenerDirector, page: str, filled: dict[str, str]) -> str:
        action = re.search(r'<form[^>]*action="([^"]+)"', page)
        assert action, page
        hidden = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page))
        form = urllib.parse.urlencode({**hidden, **filled}).encode()
        url = urllib.parse.urljoin(self.address, unescape(action[1]))
        return str(browser.open(url, form, timeout=60).read().decode())

    def user_of(self, token: str) -> str:
        """The user for whom the token was issued, as Keycloak says, which takes no other one."""
        return str(self.request(f"{self.issuer}/protocol/openid-connect/userinfo", token=token)["preferred_username"])


class _Cookies(http.cookiejar.CookieJar):
    """Sends cookies that are for TLS over plain HTTP too, as browsers do to this machine."""

    def set_cookie(self, cookie: http.cookiejar.Cookie) -> None:
        cookie.secure = False
        super().set_cookie(cookie)
