"""What a removal of the embedded stack would take: ``weigh.py HOME`` says how large the folder is, and of when the newest run.

Runs on the Python of a managed host with nothing else, as root or as the user whose stack it is.
"""
from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

DATA, RUN = ("postgresql/data", "artifact-store/data", "artifacts"), "mlflow/server.env"
COUNT = "SELECT count(*), to_char(to_timestamp(max(start_time) / 1000.0), 'YYYY-MM-DD HH24:MI') FROM runs WHERE lifecycle_stage = 'active'"
ASK = "import psycopg2, sys; c = psycopg2.connect(sys.argv[1], connect_timeout=3).cursor(); c.execute(sys.argv[2]); print(*c.fetchone(), sep='\\t')"


def newest_run(home: Path) -> str:
    """How many runs there are and of when the newest is, as the database says; empty where it does not answer."""
    try:
        words = shlex.split((home / RUN).read_text(), comments=True)
        settings = dict(word.split("=", 1) for word in words)
        uri = settings["MLFLOW_BACKEND_STORE_URI"].replace("+psycopg2", "")
        command = [str(home / "venv/bin/python"), "-c", ASK, uri, COUNT]
        environment = {**os.environ, "PGPASSWORD": settings["PGPASSWORD"]}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, ValueError, KeyError, subprocess.SubprocessError):
        return ""
    count, newest = done.stdout.rstrip("\n").split("\t")
    return {0: "no run", 1: f"one run, of {newest}"}.get(int(count), f"{count} runs, the newest of {newest}")


def size(count: float) -> str:
    """A number of bytes for people.

    >>> size(512), size(1536 * 1024), size(5 * 1024**3)
    ('512 bytes', '1.5 MiB', '5.0 GiB')
    """
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.1f} {unit}" if unit != "bytes" else f"{count} bytes"
        count /= 1024
    return f"{count:.1f} GiB"


def weigh(home: Path) -> str:
    """What a removal of the folder would take."""
    total, newest = 0, 0.0
    for folder, _names, files in os.walk(home):
        for name in files:
            try:
                told = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            total += told.st_blocks * 512
            if folder.startswith(tuple(str(home / data) for data in DATA)):
                newest = max(newest, told.st_mtime)
    written = f"last written to on {time.strftime('%Y-%m-%d %H:%M', time.localtime(newest))}" if newest else "without data"
    return f"{home}: {size(total)}, {newest_run(home) or written}"


if __name__ == "__main__":
    print(weigh(Path(os.path.normpath(sys.argv[1]))), end="")
