"""The logins of this user: made, kept, renewed and ended."""
from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from . import oidc
from .oidc import Code, LoginError, Provider, Tokens

#: Names the file, instead of mlflow-utils/logins.json in XDG_CONFIG_HOME.
FILE_VARIABLE: Final = "MLFLOW_UTILS_LOGINS"
#: Seconds before an access token expires when it is renewed: a request that carries it takes a while.
EARLY: Final = 30.0


@dataclass(frozen=True)
class Login:
    """A login to one server. ``expires`` is when the access token expires, in seconds since the epoch; ``lifetime`` for how long it was issued."""

    server: str
    client_id: str
    provider: Provider
    access_token: str
    expires: float
    lifetime: float
    refresh_token: str

    def __repr__(self) -> str:
        """Without the tokens."""
        return f"Login(server={self.server!r}, client_id={self.client_id!r}, issuer={self.provider.issuer!r})"

    @property
    def is_fresh(self) -> bool:
        """Whether the access token holds for a while. If it seems to hold for longer than it was issued for, the clock was set back."""
        return min(EARLY, self.lifetime / 2) < self.expires - time.time() <= self.lifetime


def origin(uri: str) -> str:
    """Scheme, host and port of a URI, as browsers compare them.

    >>> origin("https://MLflow.example.org/prefix"), origin("http://127.0.0.1:5000")
    ('https://mlflow.example.org:443', 'http://127.0.0.1:5000')
    """
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def file() -> Path:
    """Where the logins are kept."""
    named = os.environ.get(FILE_VARIABLE)
    return Path(named) if named else Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "mlflow-utils", "logins.json")


def stored(uri: str) -> Login | None:
    """The login to the server of ``uri``, None where there is none. Raises `LoginError` where the file cannot be used."""
    return _read().get(origin(uri))


def login(uri: str, issuer: str, client_id: str, show: Callable[[Code], None], *, scope: str = "openid", ca_path: str = "") -> Login:
    """Log in to the server of ``uri``, and keep the login.

    ``show`` tells a person which address to open and which code to confirm there. ``scope`` is what is asked of the provider; ``ca_path`` a PEM file
    of the CAs that signed its certificate. It takes until the person has confirmed. Raises `LoginError`.
    """
    oidc.checked_url("the server", uri)
    provider = oidc.discover(issuer, str(Path(ca_path).absolute()) if ca_path else "")
    code = oidc.begin(provider, client_id, scope)
    show(code)
    made = _with(Login(origin(uri), client_id, provider, "", 0.0, 0.0, ""), oidc.wait(provider, client_id, code))
    with _changing() as logins:
        logins[made.server] = made
    return made


def logout(uri: str) -> bool:
    """Delete the login to the server of ``uri``, and end its session at the provider; whether there was one. Raises `LoginError`."""
    with _changing() as logins:
        known = logins.pop(origin(uri), None)
    if known:
        oidc.revoke(known.provider, known.client_id, known.refresh_token)
    return known is not None


def access_token(uri: str) -> str | None:
    """An access token for the server of ``uri`` that holds for a while, renewed if need be; None without a login.

    Of several processes, one renews it, and the others wait and read what it got: a provider may let a refresh token count once. Raises `LoginError`
    where the login is over, or the file cannot be used; if the provider does not answer, the token is given as long as it holds.
    """
    import requests  # noqa: PLC0415 - not needed where the token is fresh

    known = stored(uri)
    if known is None or known.is_fresh:
        return known.access_token if known else None
    with _changing() as logins:
        known = logins.get(origin(uri))
        if known is None or known.is_fresh:
            return known.access_token if known else None
        if not known.refresh_token:
            raise LoginError(f"the login to {known.server} has expired, and cannot be renewed; run mlflow-utils login again")
        try:
            known = _with(known, oidc.renew(known.provider, known.client_id, known.refresh_token))
        except requests.RequestException:
            if known.expires <= time.time():
                raise LoginError(f"{known.provider.issuer} does not answer, and the login to {known.server} cannot be renewed") from None
            return known.access_token
        logins[known.server] = known
    return known.access_token


def _with(known: Login, tokens: Tokens) -> Login:
    expires = time.time() + tokens.expires_in
    return replace(known, access_token=tokens.access_token, expires=expires, lifetime=tokens.expires_in, refresh_token=tokens.refresh_token)


def _read() -> dict[str, Login]:
    path = file()
    try:
        with path.open("rb") as opened:
            found = os.fstat(opened.fileno())
            if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
                raise LoginError(f"{path} is open to other users, or is theirs; delete it, and run mlflow-utils login again")
            entries = json.load(opened)["logins"]
        return {str(name): Login(**{**entry, "provider": Provider(**entry["provider"])}) for name, entry in entries.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise LoginError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise LoginError(f"{path} holds no logins that this version can read; delete it, and run mlflow-utils login again") from None


@contextmanager
def _changing() -> Iterator[dict[str, Login]]:
    """The logins, for this process alone while the block runs; what it changed is written at the end, whole or not at all."""
    path = file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LoginError(f"{path} cannot be written: {error.strerror}; name another file in {FILE_VARIABLE}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        logins = _read()
        before = dict(logins)
        yield logins
        if logins != before:
            _write(path, {"logins": {name: asdict(known) for name, known in logins.items()}})
    finally:
        os.close(lock)


def _write(path: Path, content: dict[str, Any]) -> None:
    new = path.with_name(f"{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            json.dump(content, opened, indent=2)
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(path)
    except OSError as error:
        raise LoginError(f"{path} cannot be written: {error.strerror}; name another file in {FILE_VARIABLE}") from None
