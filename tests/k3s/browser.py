"""What a browser does on the way through a login: cookies, redirections, forms; one request at a time, so that each answer can be looked at."""
from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from http.cookiejar import CookieJar

#: More redirections than any login has.
LOOP = 12


@dataclass(frozen=True)
class Page:
    """An answer, and the address that it is from."""

    url: str
    status: int
    headers: http.client.HTTPMessage
    body: str

    @property
    def leads_to(self) -> str:
        """The address that it redirects to, or ""."""
        location = self.headers.get("Location", "")
        return urllib.parse.urljoin(self.url, location) if location and self.status in (301, 302, 303, 307, 308) else ""

    @property
    def cookies(self) -> set[str]:
        """The names of the cookies that it sets."""
        return {each.partition("=")[0] for each in self.headers.get_all("Set-Cookie") or ()}


@dataclass
class Browser:
    """A browser that knows addresses of names that no DNS knows, with a port if it is another, and trusts the authorities of ``context``."""

    addresses: Mapping[str, str]
    context: ssl.SSLContext
    cookies: CookieJar = field(default_factory=CookieJar)

    def open(self, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> Page:
        """Send one request; with a form, a POST."""
        parts = urllib.parse.urlsplit(url)
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        asked = urllib.request.Request(url, data, {"Accept": "text/html,*/*;q=0.8", **(headers or {})})
        if data is not None:
            asked.add_header("Content-Type", "application/x-www-form-urlencoded")
        self.cookies.add_cookie_header(asked)
        host = parts.hostname or ""
        connection = http.client.HTTPSConnection(host, parts.port or 443, context=self.context, timeout=60)
        address, _colon, port = self.addresses.get(host, host).partition(":")
        plain = socket.create_connection((address, int(port or connection.port)), 60)
        connection.sock = self.context.wrap_socket(plain, server_hostname=host)
        try:
            target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
            connection.request("POST" if data is not None else "GET", target, data, dict(asked.header_items()))
            answer = connection.getresponse()
            body = answer.read().decode("utf-8", "replace")
            self.cookies.extract_cookies(answer, asked)
            return Page(url, answer.status, answer.headers, body)
        finally:
            connection.close()

    def follow(self, page: Page) -> Iterator[Page]:
        """Each page from this one to the one that redirects no further; AssertionError if there is no such page."""
        for _ in range(LOOP):
            yield page
            if not page.leads_to:
                return
            page = self.open(page.leads_to)
        raise AssertionError(f"a loop: {page.url}")

    def visit(self, url: str) -> Page:
        """The page that an address leads to."""
        return list(self.follow(self.open(url)))[-1]

    def submit(self, page: Page, filled: Mapping[str, str]) -> Page:
        """The page that the first form of a page leads to."""
        action = re.search(r'<form[^>]*action="([^"]+)"', page.body)
        assert action, page.body
        hidden = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page.body))
        return list(self.follow(self.open(urllib.parse.urljoin(page.url, unescape(action[1])), {**hidden, **filled})))[-1]
