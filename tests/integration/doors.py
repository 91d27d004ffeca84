"""The doors of an embedded stack, tried by somebody else: another user of the machine, or a web page that a browser has open there."""
from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

#: Each path of a port of SeaweedFS that reads, writes or deletes where it is let, with its method.
SEAWEEDFS = [
    ("GET", "/"),
    ("GET", "/status"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/debug/pprof/"),
    ("GET", "/ui/index.html"),
    ("GET", "/cluster/status"),
    ("GET", "/dir/status"),
    ("GET", "/dir/lookup?volumeId=1"),
    ("GET", "/dir/assign?collection=mlflow"),
    ("GET", "/vol/status"),
    ("GET", "/vol/grow?collection=mlflow&count=1&replication=000"),
    ("GET", "/vol/vacuum"),
    ("GET", "/col/delete?collection=mlflow"),
    ("GET", "/stats/disk"),
    ("GET", "/buckets/mlflow/?limit=10"),
    ("PUT", "/buckets/mlflow/planted"),
    ("POST", "/submit"),
    ("DELETE", "/buckets/mlflow?recursive=true"),
    ("DELETE", "/1,01637037d6"),
]
#: MLflow's, as a page of another origin would ask them. The first tells no more than that it is alive.
MLFLOW = [
    ("GET", "/api/2.0/mlflow/experiments/search?max_results=1"),
    ("GET", "/ajax-api/2.0/mlflow/experiments/search?max_results=1"),
    ("POST", "/api/2.0/mlflow/experiments/create"),
    ("POST", "/ajax-api/2.0/mlflow/registered-models/create"),
    ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/1"),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts?path=1"),
]
SHELL = "lock\nvolume.list\nfs.ls /buckets\ncollection.delete -collection mlflow -apply\n"
#: Run as the other user, with nothing but a Python: asks, and prints an answer a line as JSON.
ASK = """
import http.client, json, ssl, sys
trusting = ssl.create_default_context()
trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
for port, scheme, method, path, headers in json.load(sys.stdin):
    secure = scheme == "https"
    options = {"context": trusting} if secure else {}
    connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)("127.0.0.1", port, timeout=10, **options)
    try:
        connection.request(method, path, body=b"{}" if method in ("POST", "PUT") else None, headers=headers)
        answer = connection.getresponse()
        told = [answer.status, answer.read(2000).decode("utf-8", "replace")]
    except (OSError, http.client.HTTPException) as error:
        told = [0, type(error).__name__]
    finally:
        connection.close()
    print(json.dumps([port, scheme, method, path, headers, *told]))
"""


@dataclass(frozen=True)
class Answer:
    """What one request came to: its status, or 0 where the connection was ended without an answer."""

    port: int
    scheme: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    status: int
    body: str


class Somebody:
    """Another user of this machine, who has a ``weed`` of his own."""

    USER = "nobody"

    def __init__(self, home: Path, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.weed = folder / "weed"
        shutil.copyfile(home / "venv/bin/weed", self.weed)
        self.weed.chmod(0o755)
        shutil.chown(folder, self.USER)
        folder.chmod(0o700)
        # The one that the stack's own environment stands on, which its user can run and so can others.
        self._python = os.path.realpath(home / "venv/bin/python")

    def run(self, command: Sequence[str], stdin: str = "", timeout: float = 8) -> str:
        """What a command prints, and what it complains of. One that waits for ever is ended."""
        words = ["runuser", "-u", self.USER, "--", "timeout", "-k", "1", str(timeout), *command]
        done = subprocess.run(words, input=stdin, cwd=self.folder, capture_output=True, text=True, errors="replace", check=False)
        return done.stdout + done.stderr

    def ask(self, requests: Sequence[tuple[int, str, str, str, dict[str, str]]]) -> list[Answer]:
        """Send HTTP requests: port, scheme, method, path, headers."""
        printed = self.run([self._python, "-c", ASK], json.dumps(requests), timeout=240)
        answers = [json.loads(line) for line in printed.splitlines()]
        assert len(answers) == len(requests), printed
        return [Answer(port, scheme, method, path, tuple(headers.items()), status, body)
                for port, scheme, method, path, headers, status, body in answers]

    def use_weed(self, s3_port: int) -> dict[str, str]:
        """What each command of ``weed`` tells whoever has no certificate. Each of them reads, writes or deletes where it is let."""
        master, filer = (f"127.0.0.1:{s3_port + offset}.{s3_port + offset + 1}" for offset in (1, 5))
        planted, taken = self.folder / "planted", self.folder / "taken"
        planted.write_text("planted")
        taken.mkdir()
        shutil.chown(taken, self.USER)
        commands = {
            "shell": (["shell", f"-master={master}", f"-filer={filer}"], SHELL),
            "backup": (["backup", f"-master={master}", "-collection=mlflow", "-volumeId=1", f"-dir={taken}"], ""),
            "export": (["export", f"-dir={taken}", "-collection=mlflow", "-volumeId=1"], ""),
            "upload": (["upload", f"-master={master}", "-collection=mlflow", str(planted)], ""),
            "download": (["download", f"-server={master}", f"-dir={taken}", "1,01637037d6"], ""),
            "filer.meta.tail": (["filer.meta.tail", f"-filer={filer}", "-timeAgo=24h", "-pathPrefix=/buckets"], ""),
        }
        with ThreadPoolExecutor(3) as pool:
            jobs = {name: pool.submit(self.run, [str(self.weed), *words], stdin) for name, (words, stdin) in commands.items()}
            told = {name: job.result() for name, job in jobs.items()}
        return {**told, "taken": " ".join(sorted(path.name for path in taken.iterdir()))}

    def forget(self) -> None:
        """Remove what this user has."""
        shutil.rmtree(self.folder)


def requests(first_port: int) -> list[tuple[int, str, str, str, dict[str, str]]]:
    """Every request to each of the eleven ports of a stack whose first is MLflow's, then PostgreSQL's, then S3's and those above it."""
    headers: list[dict[str, str]] = [{}, {"Host": "evil.example"}, {"Origin": "http://evil.example", "Content-Type": "text/plain"}]
    asked = [(first_port, "http", method, path, given) for method, path in MLFLOW for given in headers]
    for port in range(first_port + 1, first_port + 10):
        asked += [(port, "http", method, path, headers[-1]) for method, path in SEAWEEDFS]
        asked += [(port, "http", "GET", "/", given) for given in headers[:-1]]
        asked += [(port, "https", method, path, {}) for method, path in SEAWEEDFS[:1] + SEAWEEDFS[9:10] + SEAWEEDFS[13:14]]
    return asked


def open_to_others(paths: Sequence[Path]) -> list[str]:
    """Which of the files and sockets somebody else may read or write."""
    return [str(path) for path in paths if path.lstat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) and not path.is_symlink()]
