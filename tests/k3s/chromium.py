"""Headless Chromium, as somebody at a desk uses it: pages with their scripts, and pictures of them. It is on developers' machines alone."""
from __future__ import annotations

import base64
import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websocket import WebSocket, create_connection

needed = pytest.mark.skipif(not shutil.which("chromium"), reason="NOT RUN: this machine has no Chromium: apt-get install chromium")
#: How long a page may take, on a machine that may be busy.
PATIENCE = 240
#: The innermost elements of what is shown, with what they say. A menu's or a table's own components may be in shadows.
SHOWN = """
(() => {
  const found = [];
  const look = (root) => { for (const each of root.querySelectorAll('*')) { found.push(each); if (each.shadowRoot) look(each.shadowRoot); } };
  look(document);
  return found.filter((each) => each.getClientRects().length);
})()
"""


def key(host: str, address: str, context: ssl.SSLContext) -> str:
    """The pin of the certificate that a host shows, once Python has verified it."""
    name, _colon, port = address.partition(":")
    with socket.create_connection((name, int(port or 443)), 30) as plain, context.wrap_socket(plain, server_hostname=host) as connection:
        shown = connection.getpeercert(binary_form=True)
    assert shown
    public = x509.load_der_x509_certificate(shown).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(public).digest()).decode()


class Chromium:
    """A browser with one page. It knows addresses of names that no DNS knows, with a port if it is another, and trusts their certificates alone."""

    def __init__(self, folder: Path, addresses: Mapping[str, str], context: ssl.SSLContext) -> None:
        self.folder = folder
        keys = ",".join(key(host, address, context) for host, address in addresses.items())
        rules = ",".join([*(f"MAP {host} {address}" for host, address in addresses.items()), "MAP * ~NOTFOUND"])
        words = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--remote-debugging-port=0",
                 "--remote-allow-origins=*", f"--user-data-dir={folder / 'profile'}", "--window-size=1280,900", "--disable-background-networking",
                 f"--host-resolver-rules={rules},EXCLUDE 127.0.0.1", f"--ignore-certificate-errors-spki-list={keys}", "about:blank"]
        self._log = (folder / "chromium.log").open("w")
        self._process = subprocess.Popen(words, stdout=self._log, stderr=self._log)
        self._number = 0
        self._socket = self._connected()

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind:
            self.picture("at-the-error")
        self._socket.close()
        self._process.terminate()
        self._process.wait(30)
        self._log.close()

    def _connected(self) -> WebSocket:
        import urllib.request  # noqa: PLC0415

        place = self.folder / "profile" / "DevToolsActivePort"
        self._until(lambda: place.exists() and len(place.read_text().splitlines()) == 2, "Chromium starts")
        port = place.read_text().splitlines()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
            [page] = [each for each in json.load(answer) if each["type"] == "page"]
        return create_connection(page["webSocketDebuggerUrl"], timeout=PATIENCE)

    def _until(self, is_so: Any, what: str) -> Any:
        end = time.monotonic() + PATIENCE
        while not (found := is_so()):
            assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"
            time.sleep(0.3)
        return found

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def script(self, expression: str) -> Any:
        """What an expression of the page comes to, or None while the page is being left."""
        answer = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        """Go there."""
        self._call("Page.navigate", url=url)

    def wait(self, expression: str) -> Any:
        """What an expression comes to once that is true."""
        return self._until(lambda: self.script(expression), expression)

    def fill(self, fields: Mapping[str, str], button: str) -> None:
        """Fill in a form's fields, by their IDs, and send it."""
        self.wait(f"!!document.getElementById({json.dumps(button)})")
        for name, value in fields.items():
            self.script(f"document.getElementById({json.dumps(name)}).focus()")
            self._call("Input.insertText", text=value)
        self.script(f"document.getElementById({json.dumps(button)}).click()")

    def read(self, words: Iterable[str]) -> None:
        """Wait until the page shows all these texts."""
        for each in words:
            self.wait(f"{SHOWN}.some((each) => each.innerText && each.innerText.includes({json.dumps(each)}))")

    def click(self, words: str) -> None:
        """Click, with the mouse, on the innermost element that says that."""
        place = self.wait(f"""(() => {{
          const found = {SHOWN}.filter((each) => (each.innerText || each.ariaLabel || '').trim() === {json.dumps(words)}).pop();
          if (!found) return null;
          found.scrollIntoView({{block: 'center'}});
          const box = found.getBoundingClientRect();
          return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def picture(self, name: str) -> Path:
        """Write what is shown to a file."""
        file = self.folder / f"{name}.png"
        file.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))
        return file
