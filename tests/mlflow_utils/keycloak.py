"""A real Keycloak on loopback, from its distribution in Maven's repository, with one realm."""
from __future__ import annotations

import http.cookiejar
import json
import os
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request
import zipfile
from html import unescape
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
from mlflow_server import free_port

VERSION = "26.5.6"
REALM = "mlops"
ADMIN = "for-the-tests-alone"
#: Seconds until it must answer: about two minutes of CPU for its first start, on a machine that may be busy.
STARTS_WITHIN = 1200


def distribution() -> Path:
    """The unpacked distribution, fetched once."""
    base = Path(os.environ.get("MLOPS_MLFLOW_CACHE") or Path.home() / ".cache" / "mlops-mlflow")
    folder = base / "servers" / f"keycloak-{VERSION}"
    if not folder.exists():
        artifact = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
        new = folder.with_name(f"{folder.name}.new")
        subprocess.run(["mvn", "-q", "-B", "dependency:get", f"-Dartifact={artifact}", "-Dtransitive=false"], check=True)
        subprocess.run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={new}"], check=True)
        [archive] = new.glob("*.zip")
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(new)
        [unpacked] = [path for path in new.iterdir() if path.is_dir()]
        (unpacked / "bin" / "kc.sh").chmod(0o755)
        unpacked.rename(folder)
        archive.unlink()
        new.rmdir()
    return folder


class Keycloak:
    """Keycloak in development mode with a realm, a public client ``mlflow-cli`` for the device flow, and the user alice."""

    def __init__(self, folder: Path, token_seconds: int) -> None:
        self._folder, self._port, management = folder, free_port(), free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self.issuer = f"{self.address}/realms/{REALM}"
        self._health = f"http://127.0.0.1:{management}/health/ready"
        client = {
            "clientId": "mlflow-cli",
            "publicClient": True,
            "standardFlowEnabled": False,
            "attributes": {"oauth2.device.authorization.grant.enabled": "true", "pkce.code.challenge.method": "S256"},
        }
        user = {
            "username": "alice",
            "enabled": True,
            "email": "alice@example.org",
            "emailVerified": True,
            "firstName": "Alice",
            "lastName": "Example",
            "credentials": [{"type": "password", "value": ADMIN, "temporary": False}],
        }
        realm = {"realm": REALM, "enabled": True, "sslRequired": "none", "accessTokenLifespan": token_seconds, "clients": [client], "users": [user]}
        # Keycloak reads realms to import from its own folder alone.
        imports = distribution() / "data" / "import"
        imports.mkdir(parents=True, exist_ok=True)
        (imports / f"{REALM}-realm.json").write_text(json.dumps(realm))
        words = f"start-dev --http-host=127.0.0.1 --http-port={self._port} --hostname={self.address} --http-management-port={management}"
        self._command = [str(distribution() / "bin" / "kc.sh"), *words.split(), "--health-enabled=true", "--import-realm", "--cache=local"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Keycloak:
        environment = {
            **os.environ,
            "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN,
            "KC_HTTP_MANAGEMENT_HOST": "127.0.0.1",
            "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
            "KC_DB": "dev-mem",
        }
        with (self._folder / "keycloak.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (self._folder / "keycloak.log").read_text()
            try:
                if requests.get(self._health, timeout=5).status_code == 200:
                    return self
            except requests.RequestException:
                time.sleep(1)
        self.__exit__(None, None, None)
        raise AssertionError((self._folder / "keycloak.log").read_text())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

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
        answer = requests.get(f"{self.issuer}/protocol/openid-connect/userinfo", headers={"Authorization": f"Bearer {token}"}, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["preferred_username"])

    def sessions(self, user: str) -> int:
        """How many sessions the user has."""
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": ADMIN}
        answer = requests.post(f"{self.address}/realms/master/protocol/openid-connect/token", data=form, timeout=30)
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        users: Any = requests.get(f"{self.address}/admin/realms/{REALM}/users", params={"username": user}, headers=headers, timeout=30).json()
        found: Any = requests.get(f"{self.address}/admin/realms/{REALM}/users/{users[0]['id']}/sessions", headers=headers, timeout=30).json()
        return len(found)


class _Cookies(http.cookiejar.CookieJar):
    """Sends cookies that are for TLS over plain HTTP too, as browsers do to this machine."""

    def set_cookie(self, cookie: http.cookiejar.Cookie) -> None:
        cookie.secure = False
        super().set_cookie(cookie)
