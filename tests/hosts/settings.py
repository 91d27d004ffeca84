"""What this machine says about certificates, pip and apt, for the hosts on it: they reach the registries the way it does."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# What pip is told on this machine; a folder of wheels would not be there.
PIP_SETTINGS = ("cert", "extra-index-url", "index-url", "proxy", "timeout", "trusted-host")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def pip_settings(listed: str) -> str:
    r"""A pip.conf out of what ``pip config list`` prints.

    >>> print(pip_settings("global.cert='/a.crt'\n:env:.timeout='180'\n:env:.find-links='/wheels'\n"))
    [global]
    cert = /a.crt
    timeout = 180
    <BLANKLINE>
    """
    lines = [line.partition("=") for line in listed.splitlines()]
    said = {name.rpartition(".")[2]: value.strip("'\"").replace("\\n", "\n  ") for name, _equals, value in lines}
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in said.items() if name in PIP_SETTINGS)


def environment() -> str:
    """The lines of /etc/environment: proxies, and where programs of their own mind find the certificates."""
    said = {name: os.environ[name] for name in PROXIES if name in os.environ}
    if any(os.environ.get(name) == str(BUNDLE) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")):
        said.update(SSL_CERT_FILE=str(BUNDLE), REQUESTS_CA_BUNDLE=str(BUNDLE), CURL_CA_BUNDLE=str(BUNDLE))
    return "".join(f'{name}="{value}"\n' for name, value in said.items())


def _printed(*words: str) -> str:
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout


def copy_into(tree: Path) -> None:
    """Write them into a host's tree."""
    if BUNDLE.exists():
        shutil.copyfile(BUNDLE, tree / BUNDLE.relative_to("/"))
    (tree / "etc" / "pip.conf").write_text(pip_settings(_printed(sys.executable, "-m", "pip", "config", "list")))
    acquire = [line for line in _printed("apt-config", "dump").splitlines() if line.startswith("Acquire::")]
    (tree / "etc" / "apt" / "apt.conf.d" / "99machine").write_text("\n".join(acquire) + "\n")
    (tree / "etc" / "environment").write_text(environment())
