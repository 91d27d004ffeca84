"""What the checks ask of the network and of the server. Every call is bounded in time, and reads alone."""
from __future__ import annotations

import os
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from ..client import Settings, session
from .rules import Answer, Server

#: Seconds that one question may take.
PATIENCE: Final = 10.0


def server_of(settings: Settings) -> Server:
    """The server, and the proxy that the environment names for it, as requests and MLflow's client see it."""
    uri = settings.tracking_uri
    proxies = requests.utils.get_environ_proxies(uri)
    parts = urlsplit(proxies.get(urlsplit(uri).scheme) or proxies.get("all") or "")
    return Server(uri, f"{parts.scheme}://{parts.hostname}:{parts.port or 80}" if parts.hostname else "")


def addresses(host: str) -> tuple[list[str], str]:
    """The host's addresses, or none and the resolver's error."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return [], getattr(error, "strerror", None) or "it is no host name"
    return sorted({str(entry[4][0]) for entry in found}), ""


def connection_error(host: str, port: int) -> str:
    """Why no TCP connection comes about: ``refused``, ``timeout``, or the system's words; empty where one does."""
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def authorities(settings: Settings) -> str:
    """The PEM file of the CAs that MLflow's client trusts: the settings' own, or that of requests."""
    given = settings.ca_path or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return str(given) if given else requests.utils.DEFAULT_CA_BUNDLE_PATH


def certificate(settings: Settings, server: Server) -> tuple[float | None, str]:
    """For how many days the server's certificate is valid, or None and OpenSSL's error."""
    try:
        context = ssl.create_default_context(cafile=authorities(settings))
        if settings.client_cert:
            context.load_cert_chain(settings.client_cert)
        plain = socket.create_connection((server.host, server.port), timeout=PATIENCE)
        with plain, context.wrap_socket(plain, server_hostname=server.host) as wrapped:
            shown: Any = wrapped.getpeercert()
    except ssl.SSLCertVerificationError as error:
        return None, error.verify_message
    except OSError as error:  # ssl.SSLError is one
        return None, getattr(error, "reason", None) or str(error)
    return (ssl.cert_time_to_seconds(shown["notAfter"]) - time.time()) / 86400, ""


class Api:
    """Questions to one server, with the settings' credentials, over a connection that is kept alive."""

    def __init__(self, settings: Settings, uri: str) -> None:
        self._http = session(settings)
        self._uri = uri
        self._patience = min(settings.timeout, PATIENCE)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def ask(self, method: str, path: str, **options: Any) -> tuple[Answer | None, str]:
        """The answer, redirections not followed; or None and why there is none."""
        try:
            answer = self._http.request(method, f"{self._uri}{path}", timeout=self._patience, allow_redirects=False, **options)
            content = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        except requests.Timeout:
            return None, f"no answer within {self._patience:g} s"
        except requests.RequestException as error:
            return None, f"no answer: {type(error).__name__}"
        except ValueError:
            content = {}
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status_code, answer.text[:2000], headers, content if isinstance(content, dict) else {}), ""


def seconds_ahead(answer: Answer) -> float | None:
    """By how much this machine's clock is ahead of the server's, which tells whole seconds; None where it does not."""
    try:
        return time.time() - parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None
