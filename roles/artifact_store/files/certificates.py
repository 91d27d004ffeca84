"""The certificates by which the parts of one SeaweedFS know each other: ``certificates.py FOLDER``.

Writes ``ca.crt``, ``tls.crt`` and ``tls.key`` into FOLDER, all of mode 0600, and prints the SHA-256 of ``ca.crt``. Whoever has the pair
is one of them, so the authority's own key is kept nowhere: it can sign nothing more. The folder is there whole or not at all.
"""
from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import shutil
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: Nobody renews what nobody outside of this machine's loopback ever sees; a stack lives as long as its disk.
YEARS = 100
ADDRESS = ipaddress.ip_address("127.0.0.1")


def name(common_name: str) -> x509.Name:
    """A distinguished name that says whose it is."""
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mlops.mlflow"), x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def certificate(subject: str, issuer: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    """A certificate that is still to be signed, valid from yesterday on, since clocks are set back now and then."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * YEARS))
    )


def made() -> dict[str, bytes]:
    """The files, each by its name."""
    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificate("artifact store CA", "artifact store CA", authority.public_key())
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    leaf = certificate("artifact store", "artifact store CA", own.public_key())
    leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    leaf = leaf.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ADDRESS)]), critical=False)
    # Each part is the server of some and the client of others.
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return {
        "ca.crt": root.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
        "tls.crt": leaf.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
        "tls.key": own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    }


def main(folder: Path) -> None:
    """Write them beside their place first."""
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    new.mkdir(mode=0o700)
    files = made()
    for file, content in files.items():
        with open(os.open(new / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(content)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    print(hashlib.sha256(files["ca.crt"]).hexdigest(), end="")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
