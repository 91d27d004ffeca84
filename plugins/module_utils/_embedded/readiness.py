# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Whether a process of the embedded stack answers on loopback."""
from __future__ import annotations

import base64
import http.client
import subprocess
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

_ANSWER_SECONDS = 30


def url_answers(url: str, username: str = "", password: str = "") -> bool:
    """Whether a GET, with basic authentication if there is a username, gives 200. No proxy is asked: it could not reach this machine's loopback."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWER_SECONDS)
    login = base64.b64encode(f"{username}:{password}".encode()).decode()
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers={"Authorization": f"Basic {login}"} if username else {})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def command_succeeds(command: list[str]) -> bool:
    """Whether a command ends with status 0."""
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(command, check=False, **quiet).returncode == 0


def comes_true(condition: Callable[[], bool], seconds: float, is_over: Callable[[], bool]) -> bool:
    """Whether ``condition`` comes true in time, and before ``is_over`` says that it never will."""
    deadline, pause = time.monotonic() + seconds, 0.1
    while not condition():
        if time.monotonic() > deadline or is_over():
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 1)
    return True
