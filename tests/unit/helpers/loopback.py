"""A server on loopback that misbehaves as it is told, and keeps count."""
from __future__ import annotations

import datetime
import ipaddress
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Request:
    """What arrived, and on which connection, counted from 1."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: Any


@dataclass
class Server:
    """Gives ``answers`` one after the other, and the last of them for ever; ``requests`` is what it was asked."""

    answers: list[Answer]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    #: Set when the test is over: what is delayed waits for it.
    over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
        """Serve on a free port until the block ends."""
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            number = 0

            def setup(self) -> None:
                script.connections += 1
                self.number = script.connections
                super().setup()

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                script.requests.append(Request(self.number, self.command, self.path, headers, json.loads(body) if body else None))
                answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
                answer(self, script)

            do_GET = do_POST = do_PATCH = do_DELETE = _serve

            def do_CONNECT(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                script.requests.append(Request(self.number, self.command, self.path, headers, None))
                host, _colon, port = self.path.rpartition(":")
                with socket.create_connection((host, int(port))) as upstream:
                    self.send_response_only(200)
                    self.end_headers()
                    _pump(self.connection, upstream)
                self.close_connection = True

            def log_message(self, *args: Any) -> None:
                """Stay silent."""

        class Listener(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                """A client that gives up is what most of these tests are about."""

        with Listener(("127.0.0.1", 0), Handler) as listener:
            if tls:
                listener.socket = tls.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
            self.port = listener.server_address[1]
            thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
            thread.start()
            try:
                yield self
            finally:
                self.over.set()
                listener.shutdown()


Answer = Callable[[BaseHTTPRequestHandler, Server], None]


def reply(status: int, content: Any, content_type: str = "application/json", close: bool = False, **headers: str) -> Answer:
    """Answer ``content``, as JSON unless it is a text."""

    def answer(handler: BaseHTTPRequestHandler, script: Server) -> None:
        body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        handler.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        # Without a word in the headers: as a server does that drops a connection which was idle for too long.
        handler.close_connection = close

    return answer


def error(status: int, code: str, message: str = "because") -> Answer:
    """Answer as MLflow says no."""
    return reply(status, {"error_code": code, "message": message})


def cut_off(handler: BaseHTTPRequestHandler, script: Server) -> None:
    """Close the connection in the middle of the body."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"half": ')
    handler.close_connection = True


def hang(handler: BaseHTTPRequestHandler, script: Server) -> None:
    """Answer nothing until the test is over."""
    script.over.wait()
    handler.close_connection = True


def _pump(one: socket.socket, other: socket.socket) -> None:
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            (other if ready is one else one).sendall(data)


@dataclass(frozen=True)
class Authority:
    """A certificate authority in ``folder``; ``path`` is its certificate."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def path(self) -> Path:
        """The authority's own certificate."""
        return self.issue("authority", [], of_authority=True)

    def issue(self, name: str, hosts: list[str], of_authority: bool = False) -> Path:
        """A PEM file with a certificate for ``hosts``, and its key."""
        key = self.key if of_authority else ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=of_authority, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if of_authority:
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        if hosts:
            names = [x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        pem = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        pem += key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = self.folder / f"{name}.pem"
        path.write_bytes(pem)
        return path

    def context(self, *hosts: str, clients: bool = False) -> ssl.SSLContext:
        """What a server for ``hosts`` listens with; with ``clients``, only to those that this authority knows."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue("server", list(hosts)))
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.path)
        return context


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
