"""Whom a bearer token (JWT) is for: it is verified by the keys that its issuer publishes, which are fetched, kept, and fetched again.

With which algorithm a signature is verified says the key, not the token: a key knows those of its own kind alone. Nothing here knows MLflow.
"""
from __future__ import annotations

import base64
import binascii
import json
import logging
import math
import re
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

LOGGER = logging.getLogger("mlflow.jwt_auth")
#: The user as whom callers without a token act, if they may do anything.
ANONYMOUS = "anonymous"
#: What begins so is said by the cluster alone: accounts and their groups.
SYSTEM, ACCOUNT = "system:", "system:serviceaccount:"
#: In bytes: a token, and an answer of an issuer.
LONGEST_TOKEN, LONGEST_ANSWER = 16384, 1 << 20
#: In seconds: how old keys get before they are fetched again, the least time between two attempts, and how long one may take.
FRESH, PAUSE, PATIENCE = 300.0, 10.0, 5.0
TOKEN = re.compile(r"[A-Za-z0-9_-]+[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]*")
_RSA: Mapping[str, hashes.HashAlgorithm] = {"RS256": hashes.SHA256(), "RS384": hashes.SHA384(), "RS512": hashes.SHA512()}
_CURVES: Mapping[str, tuple[ec.EllipticCurve, Mapping[str, hashes.HashAlgorithm]]] = {
    "P-256": (ec.SECP256R1(), {"ES256": hashes.SHA256()}),
    "P-384": (ec.SECP384R1(), {"ES384": hashes.SHA384()}),
    "P-521": (ec.SECP521R1(), {"ES512": hashes.SHA512()}),
}


class Refused(Exception):
    """A request that is answered here, and why."""

    def __init__(self, message: str, status: int = 401, challenges: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message, self.status, self.challenges = message, status, challenges


@dataclass(frozen=True)
class Issuer:
    """Whose tokens are trusted, and what is read in them."""

    issuer: str
    audience: str
    #: Where its keys are, "" for what its discovery document says.
    jwks_url: str = ""
    #: Certificates that are trusted in the place of the well-known ones: as text, or in a file.
    ca: str = ""
    ca_file: str = ""
    #: A file with the token that the keys are asked for with.
    token_file: str = ""
    username_claim: str = "preferred_username"
    groups_claim: str = "groups"
    #: Whether it is the cluster's API server, and its tokens those of service accounts.
    kubernetes: bool = False

    def fetch(self) -> Any:
        """Return its keys, as a JSON Web Key Set."""
        url = self.jwks_url
        if not url:
            document = self._get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if document.get("issuer") != self.issuer:
                raise ValueError(f"its discovery document is that of {document.get('issuer')!r}")
            url = str(document.get("jwks_uri"))
        return self._get(url)

    def _get(self, url: Any) -> dict[str, Any]:
        where = urlsplit(str(url))
        if where.scheme != "https" and not (where.scheme == "http" and where.hostname in ("127.0.0.1", "::1", "localhost")):
            raise ValueError(f"{url!r} is not https")
        context = ssl.create_default_context(cafile=self.ca_file or None, cadata=self.ca or None)
        own = [urllib.request.ProxyHandler({})] if self.kubernetes else []
        opener = urllib.request.build_opener(_Straight(), urllib.request.HTTPSHandler(context=context), *own)
        token = {"Authorization": f"Bearer {Path(self.token_file).read_text().strip()}"} if self.token_file else {}
        request = urllib.request.Request(str(url), headers={"Accept": "application/json, application/jwk-set+json", **token})
        with opener.open(request, timeout=PATIENCE) as answer:
            body = answer.read(LONGEST_ANSWER + 1)
        if len(body) > LONGEST_ANSWER:
            raise ValueError(f"the answer of {url} is longer than {LONGEST_ANSWER} bytes")
        found = json.loads(body)
        if not isinstance(found, dict):
            raise ValueError(f"{url} does not answer with a JSON object")
        return found


class _Straight(urllib.request.HTTPRedirectHandler):
    """No redirection: it may lead to plain HTTP, and would take the token along."""

    def redirect_request(self, *_args: Any) -> None:
        return None


@dataclass(frozen=True)
class Settings:
    """What the file named by MLOPS_MLFLOW_JWT has."""

    issuers: Sequence[Mapping[str, Any]]
    #: Which MLflow role a claim's value stands for: {value, role, workspace}.
    roles: Sequence[Mapping[str, str]] = ()
    #: What callers without a token may do: refuse, user or everything.
    anonymous: str = "refuse"
    algorithms: Sequence[str] = ("RS256", "ES256")
    clock_skew: float = 30
    #: How long a verified token is not verified again, in seconds.
    cache_seconds: float = 60
    #: Nobody becomes the administrator by a token.
    administrator: str = ""

    @property
    def trusted(self) -> list[Issuer]:
        """The issuers."""
        return [Issuer(**each) for each in self.issuers]

    @property
    def managed(self) -> frozenset[tuple[str, str]]:
        """The roles, each with its workspace, that tokens alone give and take."""
        return frozenset((each.get("workspace") or "default", each["role"]) for each in self.roles)

    def roles_of(self, values: frozenset[str]) -> frozenset[tuple[str, str]]:
        """Return those of a user of whom the claim has these values."""
        return frozenset((each.get("workspace") or "default", each["role"]) for each in self.roles if each["value"] in values)


@dataclass(frozen=True)
class Identity:
    """Whom a token is for."""

    username: str
    roles: frozenset[tuple[str, str]] = frozenset()
    expires: float = math.inf
    #: None leaves it as it is.
    is_admin: bool | None = None


# Keys


@dataclass(frozen=True)
class Key:
    """A public key, and the hashes of the algorithms that it verifies with."""

    public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    digests: Mapping[str, hashes.HashAlgorithm] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Key:
        """Return a JSON Web Key that signs; raise ValueError for any other."""
        curve = str(given.get("crv"))
        public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
        if given.get("use", "sig") != "sig":
            raise ValueError("it is not for signatures")
        if given.get("kty") == "RSA":
            public, digests = rsa.RSAPublicNumbers(_number(given["e"]), _number(given["n"])).public_key(), _RSA
            if public.key_size < 2048:
                raise ValueError("it is shorter than 2048 bits")
        elif given.get("kty") == "EC" and curve in _CURVES:
            public = ec.EllipticCurvePublicNumbers(_number(given["x"]), _number(given["y"]), _CURVES[curve][0]).public_key()
            digests = _CURVES[curve][1]
        else:
            raise ValueError("its kind is unknown")
        own = given.get("alg") or ""
        return cls(public, {name: digest for name, digest in digests.items() if own in ("", name)})

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's."""
        digest = self.digests.get(algorithm)
        try:
            if digest is None:
                return False
            if isinstance(self.public, rsa.RSAPublicKey):
                self.public.verify(signature, signed, padding.PKCS1v15(), digest)
                return True
            half = (self.public.key_size + 7) // 8
            if len(signature) != 2 * half:
                return False
            numbers = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
            self.public.verify(utils.encode_dss_signature(*numbers), signed, ec.ECDSA(digest))
        except InvalidSignature:
            return False
        return True


class Keys:
    """The keys of an issuer: fetched when first asked for, when they are old, and, not too often, when a token names an unknown one."""

    def __init__(self, name: str, fetch: Callable[[], Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._fetch, self._clock = name, fetch, clock
        self._lock = threading.Lock()
        self._keys: dict[str, list[Key]] = {}
        self._fetched = self._tried = -math.inf

    def find(self, kid: str | None) -> list[Key]:
        """Return the keys of that ID, or all for None."""
        if self._has(kid):
            # One request fetches, while others go on with the keys that are there, as all do when the issuer cannot be reached.
            if self._clock() - self._fetched > FRESH and self._lock.acquire(blocking=False):
                try:
                    self._refresh()
                finally:
                    self._lock.release()
        else:
            with self._lock:
                if not self._has(kid):
                    self._refresh()
        keys = self._keys
        if not keys:
            raise Refused(f"MLflow cannot fetch the keys of {self._name}, by which it verifies tokens; its log says why", 503)
        return [key for each in keys.values() for key in each] if kid is None else keys.get(kid, [])

    def _has(self, kid: str | None) -> bool:
        return bool(self._keys) if kid is None else kid in self._keys

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._tried < PAUSE:
            return
        self._tried = now
        try:
            self._keys = key_set(self._fetch())
            self._fetched = now
        except (OSError, ValueError, RecursionError) as error:
            LOGGER.warning("the keys of %s cannot be fetched: %s", self._name, error)


def key_set(found: Any) -> dict[str, list[Key]]:
    """Return the keys of a JSON Web Key Set by their ID, without those that are not for signatures; raise ValueError if none is left."""
    keys: dict[str, list[Key]] = {}
    listed = found.get("keys") if isinstance(found, dict) else None
    for each in listed if isinstance(listed, list) else []:
        try:
            keys.setdefault(str(each.get("kid", "")), []).append(Key.of(each))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            LOGGER.info("a key is left out: %s", error)
    keys = {kid: some for kid, some in keys.items() if some}
    if not keys:
        raise ValueError("it publishes no key that verifies signatures")
    return keys


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# Tokens


@dataclass(frozen=True)
class Token:
    """A token that nobody has verified yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    @classmethod
    def of(cls, text: str) -> Token:
        """Take a token apart."""
        if len(text) > LONGEST_TOKEN:
            raise Refused(f"the token is longer than {LONGEST_TOKEN} bytes")
        if not TOKEN.fullmatch(text):
            raise Refused("what stands behind Bearer is not one signed JSON Web Token")
        header, claims, signature = text.split(".")
        try:
            parts = [json.loads(_bytes(part), parse_constant=_no_number) for part in (header, claims)]
            taken = cls(parts[0], parts[1], f"{header}.{claims}".encode(), _bytes(signature))
        except (binascii.Error, ValueError, RecursionError) as error:
            raise Refused("the token cannot be read") from error
        if not all(isinstance(part, dict) for part in parts):
            raise Refused("the token cannot be read")
        return taken

    @property
    def audiences(self) -> list[Any]:
        """For whom it is."""
        found = self.claims.get("aud")
        return found if isinstance(found, list) else [found]


def _no_number(name: str) -> Any:
    raise ValueError(name)


class Verifier:
    """Verifies tokens."""

    def __init__(self, settings: Settings, keys: Callable[[Issuer], Keys] | None = None, now: Callable[[], float] = time.time) -> None:
        make = keys or (lambda issuer: Keys(issuer.issuer, issuer.fetch))
        self._settings, self._now = settings, now
        self._trusted = [(issuer, make(issuer)) for issuer in settings.trusted]

    def identity(self, text: str) -> Identity:
        """Return whom a token is for; raise Refused unless it is valid here and now."""
        token = Token.of(text)
        algorithm, kid = token.header.get("alg"), token.header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._settings.algorithms:
            raise Refused(f"the token is not signed by one of {', '.join(self._settings.algorithms)}")
        if "crit" in token.header or not isinstance(kid, (str, type(None))):
            raise Refused("the token has a header that is not understood here")
        issuer, keys = self._issuer(token)
        if not any(key.verifies(algorithm, token.signed, token.signature) for key in keys.find(kid)):
            raise Refused(f"the token is not signed by a key that {issuer.issuer} publishes")
        expires = self._in_time(token.claims)
        if issuer.audience not in token.audiences:
            raise Refused(f"the token is not for the audience {issuer.audience}")
        username, values = of_account(token.claims) if issuer.kubernetes else of_person(issuer, token.claims)
        if username in (self._settings.administrator, ANONYMOUS):
            raise Refused(f"nobody becomes MLflow's user {username} by a token")
        return Identity(username, self._settings.roles_of(values), expires)

    def _issuer(self, token: Token) -> tuple[Issuer, Keys]:
        found = [pair for pair in self._trusted if pair[0].issuer == token.claims.get("iss")]
        if not found:
            raise Refused("the token's issuer is not trusted here")
        return next((pair for pair in found if pair[0].audience in token.audiences), found[0])

    def _in_time(self, claims: Mapping[str, Any]) -> float:
        moments = [claims.get("exp"), claims.get("nbf", 0), claims.get("iat", 0)]
        if not all(isinstance(each, (int, float)) and not isinstance(each, bool) and abs(each) < 1e15 for each in moments):
            raise Refused("the token does not say until when it is valid")
        expires, *starts = moments
        if self._now() >= expires + self._settings.clock_skew:
            raise Refused("the token has expired")
        if self._now() < max(starts) - self._settings.clock_skew:
            raise Refused("the token is not valid yet; compare the clocks of its issuer and of MLflow")
        return float(expires) + self._settings.clock_skew


def of_account(claims: Mapping[str, Any]) -> tuple[str, frozenset[str]]:
    """Return the name and the groups of a service account, as Kubernetes has them.

    >>> name, values = of_account({"sub": "system:serviceaccount:airflow:worker"})
    >>> name, sorted(values)[1:]
    ('system:serviceaccount:airflow:worker', ['system:serviceaccounts', 'system:serviceaccounts:airflow'])
    """
    name = _name(claims.get("sub"), "sub")
    namespace, separator, account = name.removeprefix(ACCOUNT).partition(":")
    if not (name.startswith(ACCOUNT) and namespace and separator and account):
        raise Refused("the token is not that of a service account")
    return name, frozenset({name, "system:serviceaccounts", f"system:serviceaccounts:{namespace}"})


def of_person(issuer: Issuer, claims: Mapping[str, Any]) -> tuple[str, frozenset[str]]:
    """Return the name and the groups that the issuer's claims have.

    >>> keycloak = Issuer("https://login", "mlflow", groups_claim="realm_access.roles")
    >>> of_person(keycloak, {"preferred_username": "ann", "realm_access": {"roles": ["editor", "system:masters"]}})
    ('ann', frozenset({'editor'}))
    """
    name = _name(_claim(claims, issuer.username_claim), issuer.username_claim)
    if name.startswith(SYSTEM):
        raise Refused(f"the token's {issuer.username_claim} begins with {SYSTEM}, as only names within the cluster do")
    found = _claim(claims, issuer.groups_claim)
    groups = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return name, frozenset(each for each in groups if isinstance(each, str) and not each.startswith(SYSTEM))


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim of that name or, with dots, inside of others."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _name(found: Any, claim: str) -> str:
    if not isinstance(found, str) or not 0 < len(found) <= 255 or not found.isprintable() or found.strip() != found:
        raise Refused(f"the token has no claim {claim} that can be a user's name")
    return found
