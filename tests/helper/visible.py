"""What everybody on a machine can see of a run: the command lines of all processes, looked at as fast as it goes."""
from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import quote


class Visible:
    """Notes each command line that is seen on this machine while the block lasts, those of every user and in every container.

    Command lines are what ``ps`` shows to all. A process's environment is its user's own, and is not looked at.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self.commands: set[str] = set()
        self.rounds = 0
        self._proc = proc
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Visible:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            for entry in self._proc.iterdir():
                if entry.name.isdigit():
                    try:
                        self.commands.add((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                    except OSError:
                        continue  # it has ended
            self.rounds += 1
            self._ended.wait(0.002)

    def showing(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """The names of the secrets that a command line held, each with that line."""
        return {name: command for command in self.commands for name in shown(command, secrets)}


def shown(text: str, secrets: Mapping[str, str]) -> list[str]:
    """The names of the secrets that a text holds, as they are or as a URI spells them. An empty one is none.

    >>> shown("PGPASSWORD=s3cret/1 psql postgresql://mlflow:s3cret%2F1@db", {"password": "s3cret/1", "key": "other", "none": ""})
    ['password']
    """
    return [name for name, secret in secrets.items() if secret and (secret in text or quote(secret, safe="") in text)]
