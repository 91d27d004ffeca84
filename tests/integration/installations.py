"""Virtual environments with one version of MLflow each, made once for all checkouts of this machine."""
from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import ROOT

#: The pinned requirements of each version. The deployed one's are the collection's own; the others were written by
#: ``uv pip compile --universal --python-version 3.11 --no-annotate --no-header`` from mlflow[auth], boto3 and psycopg2-binary,
#: for 3.16 uvloop and httptools too, and for 2.22 sqlalchemy<2.1: it cannot be imported beside a later one.
REQUIREMENTS = {
    "3.17.2": ROOT / "roles/embedded/files/requirements-3.17.2.txt",
    "3.16.1": ROOT / "tests/integration/requirements/mlflow-3.16.1.txt",
    "2.22.5": ROOT / "tests/integration/requirements/mlflow-2.22.5.txt",
    # What an image with mlflow_image_oidc_plugin has.
    "oidc-3.17.2": ROOT / "roles/mlflow_image/files/requirements-oidc-3.17.2.txt",
}
#: The Python of each, where it is not that of the tests.
PYTHONS = {"oidc-3.17.2": "3.13"}
#: What is kept on this machine for all checkouts.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlops-mlflow"
#: Makes a database with the version's tables, which takes a starting server six seconds: ``mlflow db upgrade`` of 2.22 wants a filled one.
SCHEMA = "import sys, mlflow.store.db.utils as u; u._initialize_tables(u.create_sqlalchemy_engine(sys.argv[1]))"


@dataclass(frozen=True)
class Installation:
    """An installed version: its interpreter, and a SQLite file with its empty tables, to be copied."""

    python: Path
    sqlite: Path


def installation(version: str) -> Installation:
    """The installation of ``version``, made if it is not there. Raises RuntimeError if it cannot be made."""
    requirements = REQUIREMENTS[version]
    digest = hashlib.sha256(requirements.read_bytes() + SCHEMA.encode() + sys.version.encode()).hexdigest()[:12]
    home = CACHE / "servers" / f"{version}-{digest}"
    made = Installation(home / "venv/bin/python", home / "empty.db")
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "ready").exists():
            _make(requirements, home, made, _interpreter(version))
            (home / "ready").touch()
    return made


def _interpreter(version: str) -> str:
    """The Python of a version, as uv takes it, which does not look for those of pyenv."""
    wanted = PYTHONS.get(version)
    if wanted is None:
        return str(ROOT / ".venv" / "bin" / "python")
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return next((str(path) for path in root.glob(f"versions/{wanted}.*/bin/python")), wanted)


def _make(requirements: Path, home: Path, made: Installation, interpreter: str) -> None:
    print(f"installing {requirements.stem} into {home}", file=sys.stderr)
    made.sqlite.unlink(missing_ok=True)
    tools = ROOT / ".venv" / "bin"
    _run([str(tools / "uv"), "venv", "--quiet", "--clear", "--python", interpreter, str(home / "venv")])
    try:
        _run([str(tools / "uv"), "pip", "install", "--quiet", "--python", str(made.python), "--requirement", str(requirements)])
    except RuntimeError as error:
        # uv takes seconds where pip takes a minute; pip alone reads pip.conf, so it comes second.
        print(f"{error}\nuv failed; trying pip", file=sys.stderr)
        _run([str(tools / "python"), "-m", "pip", "--python", str(made.python), "install", "--quiet", "--requirement", str(requirements)])
    _run([str(made.python), "-c", SCHEMA, f"sqlite:///{made.sqlite}"])


def _run(command: list[str]) -> None:
    # What is pinned here is wanted whatever its age.
    environment = {key: value for key, value in os.environ.items() if key != "UV_EXCLUDE_NEWER"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr or done.stdout}")
