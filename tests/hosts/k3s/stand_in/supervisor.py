"""The processes of the stand-in: started, watched and ended together, as the goroutines of k3s are."""
from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

from .errors import K3sError
from .log import log

GRACE = 3.0
"""Seconds that a process has to end before it is killed, which harms none: k3s itself ends at once."""


class Stopped(Exception):
    """Somebody asked the stand-in to end."""


class Supervisor:
    """The child processes, and the wish to end.

    A child dies with the stand-in however that ends (setpriv --pdeathsig), so a service with KillMode=process leaves containers alone,
    and nothing else.
    """

    def __init__(self) -> None:
        self._children: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())

    def start(self, name: str, command: Sequence[str], memory: int = 0, environment: dict[str, str] | None = None) -> None:
        """Start a process. `memory` is a soft limit in MiB for Go's collector, 0 for none."""
        own = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}  # systemd listens to the stand-in alone
        limits = {"GOMEMLIMIT": f"{memory}MiB"} if memory else {}
        log(f"Running {name} {' '.join(command[1:])}")
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            env={**own, **limits, **(environment or {})}, stdin=subprocess.DEVNULL, start_new_session=True,
        )
        self._children.append((name, process))

    def check(self) -> None:
        """Raise where the stand-in must end.

        Raises:
            Stopped: somebody asked for it.
            K3sError: a process ended by itself.

        """
        if self._stop.is_set():
            raise Stopped
        for name, process in self._children:
            status = process.poll()
            if status is not None:
                raise K3sError(f"{name} exited: status {status}")

    def pause(self, seconds: float) -> None:
        """Wait, and notice at once when the stand-in must end."""
        self._stop.wait(seconds)
        self.check()

    def wait_for(self, what: str, probe: Callable[[], bool], timeout: float = 600, every: float = 0.5) -> None:
        """Wait until `probe` says yes, asking once in `every` seconds for at most `timeout` seconds."""
        end, told = time.monotonic() + timeout, time.monotonic() + 10
        while not probe():
            if time.monotonic() > end:
                raise K3sError(f"timed out after {timeout:.0f} s waiting for {what}")
            if time.monotonic() > told:
                log(f"Waiting for {what}")
                told = time.monotonic() + 10
            self.pause(every)

    def end(self) -> None:
        """End all processes, the last started first."""
        for _name, process in reversed(self._children):
            if process.poll() is None:
                process.terminate()
        until = time.monotonic() + GRACE
        for _name, process in reversed(self._children):
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
