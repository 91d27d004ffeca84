"""Use an MLflow server's public name from outside, through the ingress and TLS.

Reads from standard input a JSON object with ``uri``, ``address`` (the ingress's; empty where DNS knows the name), ``ca`` (PEM
texts to trust besides the system's), ``username`` and ``password`` (empty where nobody here can log in). Prints a line a step;
the first failure ends it with exit status 1. Runs on the Python of a managed host, 3.9 or later, with nothing else.
"""
from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import sys
import time
from contextlib import closing
from typing import Any, NoReturn
from urllib.parse import urlsplit

API = "/api/2.0/mlflow/experiments/search?max_results=1"
#: An ingress controller takes some seconds to notice a new Ingress and its certificate.
PATIENCE_SECONDS = 60
#: What says 'log in first', by a page, a header or a redirection.
ASKS = (301, 302, 303, 307, 401, 403)


def fail(what: str) -> NoReturn:
    """End with what is wrong."""
    sys.exit(f"FAILED: {what}")


class Public:
    """The server by its public name."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        url = urlsplit(wanted["uri"])
        self.uri = wanted["uri"]
        self.host = url.hostname or ""
        self.is_tls = url.scheme == "https"
        self.port = url.port or (443 if self.is_tls else 80)
        self.address = wanted["address"] or self.host
        self.trust = ssl.create_default_context()
        if wanted["ca"]:
            self.trust.load_verify_locations(cadata=wanted["ca"])
            # A certificate that is trusted by itself needs no CA above it.
            self.trust.verify_flags |= 0x80000
        token = base64.b64encode(f"{wanted['username']}:{wanted['password']}".encode()).decode()
        self.login = {"Authorization": f"Basic {token}"} if wanted["username"] else {}

    def get(self, path: str, headers: dict[str, str]) -> tuple[int, str]:
        """Status and body of one GET on a connection of its own."""
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=30)) as connection:
            plain = socket.create_connection((self.address, self.port), timeout=30)
            connection.sock = self.trust.wrap_socket(plain, server_hostname=self.host) if self.is_tls else plain
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")

    def wait(self) -> None:
        """Wait until the ingress leads to the server, by a certificate that holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            problem = self.problem()
            if not problem:
                return
            if time.monotonic() > deadline:
                fail(problem)
            time.sleep(2)

    def problem(self) -> str:
        """What is in the way, with its remedy; empty where nothing is."""
        try:
            status = self.get("/health", self.login)[0]
        except socket.gaierror:
            return f"{self.host} has no address here; make it known to DNS, or set mlflow_verify_public_address to the ingress's address"
        except ssl.SSLCertVerificationError as error:
            return f"{self.uri} on {self.address} shows a certificate that does not hold: {error.verify_message}; see mlflow_server_tls"
        except OSError as error:
            return f"{self.uri} on {self.address}:{self.port} takes no connection: {error}; see whether the ingress controller runs there"
        if status == 200 or (not self.login and status in ASKS):
            return ""
        return f"{self.uri}/health on {self.address} answers {status}; see the ingress controller's log, and whether the server's pods are ready"


def main() -> None:
    """Every step."""
    wanted = json.load(sys.stdin)
    public = Public(wanted)
    public.wait()
    print(f"ok: {public.uri} leads to the server" + (", by a certificate that holds" if public.is_tls else ""))
    status = public.get(API, {})[0]
    if status not in ASKS:
        fail(f"{public.uri} answers {status} to who gives no password, instead of asking for one; see mlflow_server_ingress_auth")
    print(f"ok: without a password it answers {status}")
    if public.login:
        status, page = public.get("/", public.login)
        if status != 200 or "<title>MLflow</title>" not in page:
            fail(f"{public.uri}/ answers {status}, and not with MLflow's page; see whether something else has this name")
        print("ok: the page's title is MLflow")
        status, body = public.get(API, public.login)
        if status != 200 or not isinstance(json.loads(body), dict):
            fail(f"{public.uri}{API} answers {status} to the user {wanted['username']}: {body[:300]}; see the server's log")
        print(f"ok: the API answers the user {wanted['username']}")
    else:
        print("NOT VERIFIED: the page and the API by their public name, since who asks for a password there is not known here")
    status = public.get("/", {**public.login, "Host": "mlflow-verify.invalid"})[0]
    if status not in (403, 404, 421):
        fail(f"{public.uri} answers {status} to a foreign Host header, not 403, 404 or 421; see MLFLOW_SERVER_ALLOWED_HOSTS of the server")
    print(f"ok: to a foreign Host header it answers {status}")


if __name__ == "__main__":
    main()
