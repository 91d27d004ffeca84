"""Runs the programs that do the work, showing what a failing one said."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


class HostsError(Exception):
    """Says in a sentence what did not work, and what can be done."""


def progress(message: str) -> None:
    """Tell what is going on, apart from what a command prints."""
    print(f"hosts: {message}", file=sys.stderr, flush=True)


def run(*words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: str | None = None) -> str:
    """What the program prints; its environment is this one's, with ``env`` on top.

    Raises HostsError with the last lines of what it said, where it fails.
    """
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=stdin or "",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-30:])
        raise HostsError(f"`{' '.join(map(str, words))}` ended with {done.returncode}:\n{said}")
    return done.stdout


def succeeds(*words: str | Path) -> bool:
    """Whether the program ends well."""
    return not subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
