"""The cluster's certificate authorities and certificates, made with openssl under the names that k3s gives them."""
from __future__ import annotations

import hashlib
import ipaddress
import subprocess
from pathlib import Path

from .errors import K3sError
from .layout import write

AUTHORITIES = ("server-ca", "client-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca")
DAYS = "3650"
EC = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1")
RSA = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")


def openssl(*arguments: str) -> str:
    """Run openssl and return what it prints."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise K3sError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def make_key(path: Path, kind: tuple[str, ...] = EC) -> None:
    """A private key at `path`, where there is none."""
    if not path.is_file():
        write(path, openssl("genpkey", *kind))


def make_authorities(tls: Path) -> None:
    """The authorities of a cluster, where they are missing, and the key that signs service account tokens."""
    for name in AUTHORITIES:
        certificate, key = tls / f"{name}.crt", tls / f"{name}.key"
        make_key(key)
        if not certificate.is_file():
            subject = f"/CN=k3s-{name.replace('/', '-')}"
            text = openssl("req", "-x509", "-new", "-key", str(key), "-subj", subject, "-days", DAYS,
                           "-addext", "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign")
            write(certificate, text, 0o644)
    make_key(tls / "service.key", RSA)  # the API server reads no elliptic key of PKCS #8


def alternative_names(names: list[str]) -> str:
    """The value of subjectAltName for DNS names and addresses.

    >>> alternative_names(["localhost", "127.0.0.1", "::1", "localhost"])
    'DNS:localhost,IP:127.0.0.1,IP:::1'
    """
    entries = []
    for name in dict.fromkeys(names):
        try:
            entries.append(f"IP:{ipaddress.ip_address(name)}")
        except ValueError:
            entries.append(f"DNS:{name}")
    return ",".join(entries)


def make_certificate(path: Path, authority: Path, subject: str, names: list[str] | None = None) -> None:
    """A certificate `path`.crt with its key `path`.key, signed by `authority`.crt; made anew where its request has changed.

    Args:
        path: without a suffix.
        authority: without a suffix.
        subject: as openssl writes it, such as /O=system:masters/CN=system:admin.
        names: DNS names and addresses of a server; None for a certificate of clients alone.

    """
    usage = "extendedKeyUsage=clientAuth" if names is None else f"extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName={alternative_names(names)}"
    extensions = f"{usage}\nkeyUsage=critical,digitalSignature,keyEncipherment\n"
    authority_text = authority.with_suffix(".crt").read_text()
    wish = hashlib.sha256(f"{subject}\n{extensions}{authority_text}".encode()).hexdigest()
    certificate, key, mark = path.with_suffix(".crt"), path.with_suffix(".key"), path.with_suffix(".request")
    make_key(key)
    if certificate.is_file() and mark.is_file() and mark.read_text() == wish:
        return
    request, extra = path.with_suffix(".csr"), path.with_suffix(".ext")
    write(request, openssl("req", "-new", "-key", str(key), "-subj", subject))
    write(extra, extensions)
    text = openssl("x509", "-req", "-in", str(request), "-CA", str(authority.with_suffix(".crt")), "-CAkey", str(authority.with_suffix(".key")),
                   "-set_serial", f"0x{wish[:16]}", "-days", DAYS, "-extfile", str(extra))
    write(certificate, text, 0o644)
    write(mark, wish)
    request.unlink()
    extra.unlink()
