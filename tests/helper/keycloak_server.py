"""A real Keycloak on this machine, from its distribution in Maven's repository, with one realm."""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext, create_default_context
from types import TracebackType
from typing import Any

VERSION = "26.5.6"
#: The password of the administrator and of every user.
PASSWORD = "for-the-tests-alone"
#: What is fixed when the distribution is built; a server that started with other values would be built anew, for a minute.
BUILT_WITH = ("--db=dev-file",)
#: Seconds until it must answer: about forty of CPU, on a machine that may be busy.
STARTS_WITHIN = 600
#: It ends if its database does not answer within five seconds, which on such a machine takes longer at the first start.
STARTS = 3


def distribution() -> Path:
    """The distribution, fetched, unpacked and built once."""
    base = Path(os.environ.get("MLOPS_MLFLOW_CACHE") or Path.home() / ".cache" / "mlops-mlflow")
    folder = base / "servers" / f"keycloak-{VERSION}-built"
    if not folder.exists():
        artifact = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
        new = folder.with_name(f"{folder.name}.{os.getpid()}")
        subprocess.run(["mvn", "-q", "-B", "dependency:get", f"-Dartifact={artifact}", "-Dtransitive=false"], check=True)
        subprocess.run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={new}"], check=True)
        [archive] = new.glob("*.zip")
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(new)
        archive.unlink()
        [unpacked] = [path for path in new.iterdir() if path.is_dir()]
        (unpacked / "bin" / "kc.sh").chmod(0o755)
        subprocess.run([str(unpacked / "bin" / "kc.sh"), "build", *BUILT_WITH], check=True, stdout=subprocess.DEVNULL)
        try:
            unpacked.rename(folder)
        except OSError:  # somebody else was faster
            assert folder.exists()
        shutil.rmtree(new)
    return folder


@dataclass(frozen=True)
class Place:
    """Where it listens; with a certificate and its key, over TLS, for which clients trust ``authority``. Its issuer may have another ``name``."""

    host: str
    port: int
    certificate: Sequence[Path] = ()
    authority: str = ""
    name: str = ""

    @property
    def address(self) -> str:
        """Its URL."""
        return f"{'https' if self.certificate else 'http'}://{self.host}:{self.port}"

    @property
    def public(self) -> str:
        """The URL that it has in tokens."""
        return self.address.replace(f"//{self.host}:", f"//{self.name or self.host}:")

    @property
    def options(self) -> list[str]:
        """What Keycloak is told of it."""
        listen = [f"--http-host={self.host}", f"--hostname={self.public}"]
        if not self.certificate:
            return [*listen, "--http-enabled=true", f"--http-port={self.port}"]
        certificate, key = self.certificate
        return [*listen, f"--https-port={self.port}", f"--https-certificate-file={certificate}", f"--https-certificate-key-file={key}"]


class KeycloakServer:
    """Keycloak with a realm, as its administration API takes one, and an H2 database in ``folder``, while the block lasts."""

    def __init__(self, folder: Path, place: Place, realm: Mapping[str, Any]) -> None:
        self.folder, self.place, self._realm = folder, place, realm
        self.address = place.address
        self.issuer = f"{place.public}/realms/{realm['realm']}"
        self._context: SSLContext | None = create_default_context(cadata=place.authority) if place.authority else None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> KeycloakServer:
        try:
            for _attempt in range(STARTS):
                self._process = self._started()
                if self._answers(self._process):
                    self.admin("POST", "", self._realm)
                    return self
            raise AssertionError(self._log.read_text())
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        database = f"jdbc:h2:file:{self.folder}/keycloak;NON_KEYWORDS=VALUE"
        command = [str(distribution() / "bin" / "kc.sh"), "start", "--optimized", "--cache=local", f"--db-url={database}", *self.place.options]
        environment = {
            **os.environ,
            "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD,
            "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
        }
        with self._log.open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    @property
    def _log(self) -> Path:
        return self.folder / "keycloak.log"

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether it answers in time; False if it has ended."""
        deadline = time.monotonic() + STARTS_WITHIN
        while process.poll() is None and time.monotonic() < deadline:
            try:
                self.request(f"{self.address}/realms/master")
            except (OSError, ValueError):
                time.sleep(1)
            else:
                return True
        return False

    def request(self, url: str, form: Mapping[str, str] | None = None, *, method: str = "", body: Any = None, token: str = "") -> Any:
        """The JSON of an answer; None if there is none. Raises OSError for an error."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        wanted = urllib.request.Request(url, data, headers, method=method or None)
        try:
            with urllib.request.urlopen(wanted, timeout=60, context=self._context) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise OSError(f"{method} {url}: {error.code}: {error.read().decode()}") from None
        return json.loads(text) if text else None

    def token(self, client: str, secret: str = "", realm: str = "", **form: str) -> str:
        """An access token: of a client's service account, or of a user who is named in the form."""
        grant = {"grant_type": "password"} if "username" in form else {"grant_type": "client_credentials"}
        issuer = f"{self.address}/realms/{realm or self._realm['realm']}"
        credentials = {"client_id": client, **({"client_secret": secret} if secret else {})}
        return str(self.request(f"{issuer}/protocol/openid-connect/token", {**grant, **credentials, **form})["access_token"])

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the administration API; ``path`` is what follows ``/admin/realms``."""
        token = self.token("admin-cli", realm="master", username="admin", password=PASSWORD)
        return self.request(f"{self.address}/admin/realms{path}", method=method, body=body, token=token)

    def sessions(self, user: str) -> int:
        """How many sessions the user has."""
        realm = f"/{self._realm['realm']}"
        [found] = self.admin("GET", f"{realm}/users?username={user}&exact=true")
        return len(self.admin("GET", f"{realm}/users/{found['id']}/sessions"))


def user(name: str, groups: Sequence[str] = ()) -> dict[str, Any]:
    """A user who has nothing more to fill in at the first login."""
    credentials = [{"type": "password", "value": PASSWORD, "temporary": False}]
    return {
        "username": name, "enabled": True, "email": f"{name}@example.org", "emailVerified": True, "firstName": name.title(), "lastName": "Example",
        "credentials": credentials, "groups": [f"/{group}" for group in groups],
    }  # fmt: skip
