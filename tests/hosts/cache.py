"""What is slow to make is made once: kept in a folder named after its inputs, which is there whole or not at all."""
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def root() -> Path:
    """The folder of everything that the test hosts keep between runs."""
    base = os.environ.get("MLOPS_MLFLOW_CACHE") or str(Path.home() / ".cache" / "mlops-mlflow")
    return Path(base) / "hosts"


def key(inputs: object) -> str:
    """A short name of the inputs, which are anything that JSON can say.

    >>> key({"version": "1"}) == key({"version": "1"}) != key({"version": "2"})
    True
    """
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of that file, waiting for whoever has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def kept(name: str, inputs: object, make: Callable[[Path], None]) -> Path:
    """The folder ``<root>/<name>-<key>``, which ``make`` fills where it is missing; two callers make it once.

    Folders of the same name and other inputs stay, since hosts that are up may stand on them.
    """
    target = root() / f"{name}-{key(inputs)}"
    with locked(target.parent / f".{target.name}.lock"):
        if not target.exists():
            for interrupted in target.parent.glob(f".{target.name}.*"):
                if interrupted.is_dir():
                    shutil.rmtree(interrupted)
            unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
            try:
                unfinished.chmod(0o755)
                make(unfinished)
                unfinished.rename(target)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return target
