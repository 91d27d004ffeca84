"""The requests to an OpenID Connect provider: its discovery document, the device flow, renewing and revoking tokens."""
from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import requests

#: Seconds that one request may take.
PATIENCE: Final = 10.0
#: RFC 8628, section 3.5: the interval where the provider names none, and by how much it grows when the provider asks for it.
INTERVAL: Final = 5.0
SLOWER: Final = 5.0
GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"


class LoginError(Exception):
    """The login failed or is over. The message is one sentence with the remedy, and never holds a token."""


@dataclass(frozen=True)
class Provider:
    """An OpenID Connect provider's addresses, as its discovery document names them; ``ca_path`` is a PEM file of CAs, the system's where empty."""

    issuer: str
    device_authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    ca_path: str = ""


@dataclass(frozen=True)
class Tokens:
    """What the provider issued. ``expires_in`` is in seconds; ``refresh_token`` is empty where it issued none."""

    access_token: str
    expires_in: float
    refresh_token: str = ""


@dataclass(frozen=True)
class Code:
    """What a person confirms in a browser. ``seconds`` is for how long it can be confirmed, ``interval`` how often to ask whether it was."""

    device_code: str
    user_code: str
    address: str
    seconds: float
    interval: float
    verifier: str


def checked_url(what: str, url: str) -> str:
    """``url``, which must be https, or http on this machine. Raises `LoginError`.

    >>> checked_url("the issuer", "http://sso.example.org/realms/mlops")
    Traceback (most recent call last):
    mlflow_utils.login.oidc.LoginError: the issuer 'http://sso.example.org/realms/mlops' is not https, and would send tokens in clear text; use ...
    """
    parts = urlsplit(url)
    is_here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise LoginError(f"{what} {url!r} is not a URL; use one that starts with https://")
    if parts.scheme == "http" and not is_here:
        raise LoginError(f"{what} {url!r} is not https, and would send tokens in clear text; use its https address")
    return url


def discover(issuer: str, ca_path: str = "") -> Provider:
    """The provider of that issuer. Raises `LoginError`.

    OpenID Connect Discovery 1.0, section 4: the document must name the very issuer that was asked for.
    """
    checked_url("the issuer", issuer)
    answer = _ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration", ca_path)
    document = _json(answer)
    if answer.status_code != 200 or not document:
        raise LoginError(f"{issuer} answers {answer.status_code}, and not with an OpenID Connect configuration; check the issuer, the realm included")
    if str(document.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
        raise LoginError(f"{issuer} says that it is the issuer {document.get('issuer')!r}; use that one")
    endpoint = str(document.get("device_authorization_endpoint") or "")
    if not endpoint:
        raise LoginError(f"{issuer} does not offer the device flow; switch it on in the identity provider")
    named = {name: checked_url(f"the {name}", str(document.get(name) or "")) for name in ("device_authorization_endpoint", "token_endpoint")}
    return Provider(issuer, **named, revocation_endpoint=str(document.get("revocation_endpoint") or ""), ca_path=ca_path)


def begin(provider: Provider, client_id: str, scope: str) -> Code:
    """Ask for a code that a person can confirm, bound to this process by PKCE (RFC 7636). Raises `LoginError`."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    form = {"client_id": client_id, "scope": scope, "code_challenge": challenge, "code_challenge_method": "S256"}
    answer = _ask("POST", provider.device_authorization_endpoint, provider.ca_path, form)
    content = _json(answer)
    if answer.status_code != 200 or not {"device_code", "user_code"} <= content.keys():
        raise LoginError(f"{provider.issuer} refuses the client {client_id!r}{_reason(content)}; allow it the device flow, as a public client")
    address = str(content.get("verification_uri_complete") or content.get("verification_uri") or "")
    checked_url("the address for the login", address)
    return Code(
        str(content["device_code"]),
        str(content["user_code"]),
        address,
        float(content.get("expires_in", 600)),
        float(content.get("interval", INTERVAL)),
        verifier,
    )


def wait(provider: Provider, client_id: str, code: Code, sleep: Callable[[float], None] = time.sleep) -> Tokens:
    """Ask until the code was confirmed. Raises `LoginError` where it was refused, or has expired."""
    form = {"grant_type": GRANT, "device_code": code.device_code, "client_id": client_id, "code_verifier": code.verifier}
    deadline, interval = time.monotonic() + code.seconds, code.interval
    while time.monotonic() < deadline:
        sleep(interval)
        try:
            answer = _ask("POST", provider.token_endpoint, provider.ca_path, form)
        except LoginError:
            interval += SLOWER  # RFC 8628, section 3.5: a connection that fails is no answer
            continue
        content = _json(answer)
        if answer.status_code == 200:
            return _tokens(content)
        error = content.get("error")
        if error == "slow_down":
            interval += SLOWER
        elif error == "access_denied":
            raise LoginError("the login was refused in the browser")
        elif error == "expired_token":
            break
        elif error != "authorization_pending":
            raise LoginError(f"{provider.issuer} refuses the login{_reason(content)}; check the client {client_id!r}")
    raise LoginError("the code was not confirmed in time; run mlflow-utils login again")


def renew(provider: Provider, client_id: str, refresh_token: str) -> Tokens:
    """New tokens for a refresh token. Raises `LoginError` where it does not hold any more, and `requests.RequestException` without an answer."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client_id}
    answer = _request("POST", provider.token_endpoint, provider.ca_path, form)
    content = _json(answer)
    if answer.status_code >= 500:
        raise requests.ConnectionError(f"{provider.issuer} answers {answer.status_code}")
    if answer.status_code != 200:
        raise LoginError(f"the login at {provider.issuer} is over{_reason(content)}; run mlflow-utils login again")
    tokens = _tokens(content)
    return tokens if tokens.refresh_token else Tokens(tokens.access_token, tokens.expires_in, refresh_token)


def revoke(provider: Provider, client_id: str, refresh_token: str) -> None:
    """End the session that the refresh token stands for (RFC 7009). Raises `LoginError`."""
    if provider.revocation_endpoint and refresh_token:
        form = {"token": refresh_token, "token_type_hint": "refresh_token", "client_id": client_id}
        answer = _ask("POST", provider.revocation_endpoint, provider.ca_path, form)
        if answer.status_code != 200:
            raise LoginError(f"{provider.issuer} does not end the session{_reason(_json(answer))}; the tokens here are deleted all the same")


def _tokens(content: Mapping[str, Any]) -> Tokens:
    if not content.get("access_token"):
        raise LoginError("the identity provider answers without an access token; see its log")
    return Tokens(str(content["access_token"]), float(content.get("expires_in", 60)), str(content.get("refresh_token") or ""))


def _request(method: str, url: str, ca_path: str, form: Mapping[str, str] | None = None) -> requests.Response:
    with requests.Session() as http:
        # Not what ~/.netrc says of the host.
        http.auth = lambda request: request
        return http.request(method, url, data=form, timeout=PATIENCE, allow_redirects=False, verify=ca_path or None)


def _ask(method: str, url: str, ca_path: str, form: Mapping[str, str] | None = None) -> requests.Response:
    try:
        return _request(method, url, ca_path, form)
    except requests.exceptions.SSLError:
        raise LoginError(f"the certificate of {url} is not trusted; name the file of its CA with --ca") from None
    except requests.RequestException as error:
        raise LoginError(f"{url} does not answer: {type(error).__name__}; check the issuer, and that the identity provider runs") from None


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _reason(content: Mapping[str, Any]) -> str:
    words = " ".join(str(content.get("error_description") or content.get("error") or "").split())[:200]
    return f" ({words})" if words else ""
