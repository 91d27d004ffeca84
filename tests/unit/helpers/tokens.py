"""An issuer's keys and tokens, made by cryptography alone, without what verifies them."""
from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

#: When tokens are issued that do not say it; a test that takes long still runs then.
NOW = time.time()
ISSUER, AUDIENCE = "https://login.example/realms/akko", "mlflow"
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def base64url(data: bytes) -> str:
    """As in tokens: without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int = 0) -> str:
    """A number, as in a JSON Web Key."""
    return base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


@dataclass
class Signer:
    """A private key with an ID."""

    kid: str
    private: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @classmethod
    def on_curve(cls, kid: str, curve: ec.EllipticCurve) -> Signer:
        """A key of an elliptic curve."""
        return cls(kid, ec.generate_private_key(curve))

    @property
    def jwk(self) -> dict[str, Any]:
        """Its public half."""
        numbers = self.private.public_key().public_numbers()
        if isinstance(numbers, rsa.RSAPublicNumbers):
            return {"kty": "RSA", "kid": self.kid, "use": "sig", "n": number(numbers.n), "e": number(numbers.e)}
        size = (self.private.key_size + 7) // 8
        curve = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}[numbers.curve.name]
        return {"kty": "EC", "kid": self.kid, "crv": curve, "x": number(numbers.x, size), "y": number(numbers.y, size)}

    @property
    def pem(self) -> bytes:
        """The same, as a file."""
        return bytes(self.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))

    def sign(self, algorithm: str, data: bytes) -> bytes:
        """A signature, for an algorithm named as in tokens."""
        digest = _HASHES[algorithm[2:]]
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), digest)
        half = (self.private.key_size + 7) // 8
        return b"".join(each.to_bytes(half, "big") for each in utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(digest))))

    def token(self, algorithm: str = "RS256", header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token; None leaves out a claim or a field of the header."""
        head = {"alg": algorithm, "typ": "JWT", "kid": self.kid, **(header or {})}
        signed = unsigned(head, claims)
        return f"{signed}.{base64url(self.sign(algorithm, signed.encode()))}"


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """What is signed of a token."""
    body = {"iss": ISSUER, "aud": AUDIENCE, "preferred_username": "ann", "iat": NOW, "exp": NOW + 300, **claims}
    kept = [{name: each for name, each in part.items() if each is not None} for part in (header, body)]
    return ".".join(base64url(json.dumps(part).encode()) for part in kept)


def with_mac(key: bytes, kid: str, **claims: Any) -> str:
    """A token of HS256: whoever takes a public key for its secret believes it."""
    signed = unsigned({"alg": "HS256", "kid": kid}, claims)
    return f"{signed}.{base64url(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"
