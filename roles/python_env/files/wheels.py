"""Download the wheels of a requirements file for another Python, on another architecture, than this one.

usage: wheels.py REQUIREMENTS FOLDER amd64|arm64 PYTHON, as in `wheels.py requirements.txt wheels amd64 3.11`

pip downloads for another Python, but reads the markers of a requirements file (`; python_version < '3.10'`) as its own Python does:
they are decided here.
"""
from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

# https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/#manylinux
PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def wanted(text: str, python: str, machine: str) -> str:
    r"""The requirements, with their hashes, that hold for that Python, as `3.11`, on Linux.

    >>> print(wanted("a==1 ; python_version < '3.10' \\\n    --hash=sha256:0\nb==2 \\\n    --hash=sha256:1\n", "3.11", "x86_64"))
    b==2     --hash=sha256:1
    """
    environment = {"python_version": python, "python_full_version": f"{python}.99", "platform_machine": machine, "sys_platform": "linux"}
    kept = []
    for line in re.sub(r"\\\n", "", text).splitlines():
        said = re.split(r"\s+--hash=", line.strip())[0]
        if not said or said.startswith("#"):
            continue
        requirement = Requirement(said)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            kept.append(line.replace(said, said.partition(";")[0].strip()))
    return "\n".join(kept)


def download(requirements: Path, folder: Path, architecture: str, python: str) -> int:
    """Have pip put the wheels into the folder; pip's status."""
    machine = MACHINES[architecture]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as chosen:
        chosen.write(wanted(requirements.read_text(encoding="utf-8"), python, machine))
        chosen.flush()
        platforms = [f"--platform={name}_{machine}" for name in PLATFORMS]
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", f"--python-version={python}.99", *platforms]
        command += ["--disable-pip-version-check", "--progress-bar=off", f"--dest={folder}", f"--requirement={chosen.name}"]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    source, target, architecture, python = sys.argv[1:]
    sys.exit(download(Path(source), Path(target), architecture, python))
