"""A k3s release as its makers publish one (the program, the checksums, the images for hosts without a network), and a server that has it."""
from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import cache
import network
from command import HostsError, progress, run
from images import images
from parts import parts
from state import Process
from versions import VERSIONS

PORT = 8099
PROGRAM = "k3s"
ARCHIVE = "k3s-airgap-images-amd64.tar.zst"
CHECKSUMS = "sha256sum-amd64.txt"
PARTS = ("hyperkube", "kine", "flannel", "traefik-crds", "gateway-api-crds")
STANDIN = Path(__file__).parent / "k3s"


def version() -> str:
    """The release's name, as k3s forms it."""
    return str(VERSIONS["kubernetes"]["release"])


def checksums(folder: Path) -> str:
    """The lines of the checksum file for what lies in ``folder``."""
    lines = []
    for name in (PROGRAM, ARCHIVE):
        with (folder / name).open("rb") as handle:
            lines.append(f"{hashlib.file_digest(handle, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines)


def standin() -> Path:
    """The folder ``<cache>/k3s-release-<key>`` with the stand-in's release in a folder named after its version."""
    programs = parts.collected(PARTS)
    airgap = images.airgap_archive()
    sources = {str(path.relative_to(STANDIN)): path.read_text() for path in sorted(STANDIN.rglob("*")) if path.is_file() and path.suffix != ".pyc"}

    def make(folder: Path) -> None:
        progress("packing the stand-in of k3s")
        release = folder / version()
        release.mkdir()
        named = [f"--image={name}={reference}" for name, reference in images.airgap_names().items()]
        run(sys.executable, STANDIN / "pack.py", "--parts", programs, "--output", release / PROGRAM, "--version", version(), *named)
        shutil.copyfile(airgap, release / ARCHIVE)
        (release / CHECKSUMS).write_text(checksums(release))

    return cache.kept("k3s-release", [programs.name, airgap.parent.name, sources], make)


def folder(wanted: str) -> Path:
    """What is served: the stand-in's release, or the folder that ``wanted`` names."""
    if wanted == "standin":
        return standin()
    if not Path(wanted).is_dir():
        raise HostsError(f"--k3s {wanted} is no folder: give `standin`, or a folder with {PROGRAM}, {CHECKSUMS} and {ARCHIVE}")
    return Path(wanted).resolve()


def serve(content: Path) -> tuple[Process, str]:
    """Serve the folder on the bridge; the server's process, and its URL."""
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(PORT), "--bind", network.GATEWAY, "--directory", str(content)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    process = Process.of(server.pid)
    end = time.monotonic() + 20
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection((network.GATEWAY, PORT), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return process, f"http://{network.GATEWAY}:{PORT}"
    raise HostsError(f"the server of the k3s release did not start: is {network.GATEWAY}:{PORT} taken?")
