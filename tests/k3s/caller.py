"""Ask a server without pause until a file is there. Runs on a host, or in a pod, on Python alone.

Reads a JSON list: the server's URL, the user, the password, the file, and the seconds after which it ends without it. Two callers,
one with a connection a request, one that keeps its connection as long as the server does. Prints JSON: ``answers``, the number of
200s, ``slowest``, in seconds, and ``failures``, what else came, each with its time.
"""
from __future__ import annotations

import base64
import http.client
import json
import select
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

PATH = "/api/2.0/mlflow/experiments/search?max_results=1"


def ask(url: str, login: str, keep: bool, stop: Path, deadline: float, answers: list[float], failures: list[str]) -> None:
    """Ask until ``stop`` is there or it is ``deadline``."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    while not stop.exists() and time.monotonic() < deadline:
        began = time.monotonic()
        # As urllib3 does: one that the server has ended meanwhile is not used again.
        if not keep or (connection.sock and select.select([connection.sock], [], [], 0)[0]):
            connection.close()
        try:
            connection.request("GET", PATH, headers={"Authorization": f"Basic {login}"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                failures.append(f"{time.strftime('%T')} status {answer.status}")
            else:
                answers.append(time.monotonic() - began)
        except OSError as error:
            failures.append(f"{time.strftime('%T')} {type(error).__name__}: {error}")
            connection.close()
        time.sleep(0.1)
    connection.close()


def main(url: str, user: str, password: str, stop: str, seconds: str) -> None:
    """Both callers, at the same time."""
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    answers: list[float] = []
    failures: list[str] = []
    deadline = time.monotonic() + float(seconds)
    callers = [threading.Thread(target=ask, args=(url, login, keep, Path(stop), deadline, answers, failures)) for keep in (False, True)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    print(json.dumps({"answers": len(answers), "slowest": max(answers, default=0), "failures": failures}))


if __name__ == "__main__":
    main(*json.load(sys.stdin))
