"""The cluster's token, in k3s's form: K10<hash of the server's CA>::server:<secret>."""
from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from .errors import K3sError
from .layout import write
from .options import Options


@dataclass(frozen=True)
class Token:
    """A token as somebody gave it; `authority_hash` is empty for a short one."""

    secret: str
    authority_hash: str = ""

    def full(self, authority: bytes, user: str = "server") -> str:
        """The token with the hash of the CA's certificate (its PEM text)."""
        return f"K10{hashlib.sha256(authority).hexdigest()}::{user}:{self.secret}"

    def check_authority(self, authority: bytes) -> None:
        """Refuse a CA that is not the one in the token.

        Raises:
            K3sError: the hashes differ.

        """
        found = hashlib.sha256(authority).hexdigest()
        if self.authority_hash and self.authority_hash != found:
            raise K3sError(f"token CA hash does not match the Cluster CA certificate hash: {self.authority_hash} != {found}")


def parse(text: str) -> Token:
    """A token from its text.

    >>> parse("secret")
    Token(secret='secret', authority_hash='')
    >>> parse("K10" + "a" * 64 + "::server:secret").secret
    'secret'

    Raises:
        K3sError: it begins as a full token and is none.

    """
    text = text.strip()
    if not text.startswith("K10"):
        return Token(text)
    digest, separator, credentials = text[3:].partition("::")
    _user, colon, secret = credentials.partition(":")
    if len(digest) != 64 or not separator or not colon or not secret:
        raise K3sError("failed to normalize token; must be in format K10<CA-HASH>::<USERNAME>:<PASSWORD> or <PASSWORD>")
    return Token(secret, digest)


def given(options: Options) -> str:
    """The token that the options name, by itself or by a file; empty where they name none."""
    path = options.text("token-file")
    return options.text("token") or (Path(path).read_text().strip() if path else "")


def of_server(named: str, server: Path, authority: Path) -> Token:
    """The server's token: the given one, the one of an earlier start, or a new one; its files are written below `server`.

    Raises:
        K3sError: the given one is not that of the earlier start.

    """
    kept = parse((server / "token").read_text()) if (server / "token").is_file() else None
    token = parse(named) if named else kept or Token(secrets.token_hex(16))
    if kept and kept.secret != token.secret:
        raise K3sError("bootstrap data already found and encrypted with different token")
    if not token.secret.isprintable() or {",", '"'} & set(token.secret):
        raise K3sError("the token must be printable and without comma and quote")
    text = token.full(authority.read_bytes()) + "\n"
    write(server / "token", text)
    for name in ("node-token", "agent-token"):
        link = server / name
        if not link.is_symlink():
            link.unlink(missing_ok=True)
            link.symlink_to("token")
    return token
