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
from state import FOLDER, Process
from versions import VERSIONS

PORT = 8099
PROGRAM = "k3s"
ARCHIVE = "k3s-airgap-images-amd64.tar.zst"
CHECKSUMS = "sha256sum-amd64.txt"
PARTS = ("hyperkube", "kine", "flannel", "kube-router", "traefik-crds", "gateway-api-crds")
STANDIN = Path(__file__).parent / "k3s"


def version(name: str = "release") -> str:
    """The release's name, as k3s forms it; that of the next with ``later``."""
    return str(VERSIONS["kubernetes"][name])


def checksums(folder: Path) -> str:
    """The lines of the checksum file for what lies in ``folder``."""
    lines = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as handle:
            lines.append(f"{hashlib.file_digest(handle, 'sha256').hexdigest()}  {path.name}\n")
    return "".join(lines)


def standin(name: str = "release") -> Path:
    """The folder of the stand-in's release, ``<cache>/k3s-release-<key>/VERSION``; of the next with ``later``."""
    wanted, linked = version(name), version()
    programs = parts.collected(PARTS)
    airgap = images.airgap_archive()
    sources = {str(path.relative_to(STANDIN)): path.read_text() for path in sorted(STANDIN.rglob("*")) if path.is_file() and path.suffix != ".pyc"}

    def make(folder: Path) -> None:
        progress("packing the stand-in of k3s")
        release = folder / wanted
        release.mkdir()
        named = [f"--image={name}={reference}" for name, reference in images.airgap_names().items()]
        run(sys.executable, STANDIN / "pack.py", "--parts", programs, "--output", release / PROGRAM, "--version", wanted, "--linked", linked, *named)
        shutil.copyfile(airgap, release / ARCHIVE)
        (release / CHECKSUMS).write_text(checksums(release))

    return cache.kept("k3s-release", [programs.name, airgap.parent.name, sources, wanted], make) / wanted


def real(program: Path) -> Path:
    """A release of that k3s, in the folder of what is up, with the archive of images that lies beside it if one does."""
    said = subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout.split()
    if said[1:2] != ["version"]:
        raise HostsError(f"--k3s {program} is no k3s: it does not tell its version")
    release = FOLDER / "release" / said[2]
    release.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(program, release / PROGRAM)
    if (program.parent / ARCHIVE).exists():
        shutil.copyfile(program.parent / ARCHIVE, release / ARCHIVE)
    (release / CHECKSUMS).write_text(checksums(release))
    return release


def folder(wanted: str) -> Path:
    """The folder, named after the version, of the stand-in's release, or of one of the k3s that ``wanted`` is the path of."""
    if wanted == "standin":
        return standin()
    if not Path(wanted).is_file():
        raise HostsError(f"--k3s {wanted} is no file: give `standin`, or the path of a k3s")
    return real(Path(wanted).resolve())


def serve(release: Path) -> tuple[Process, str]:
    """Serve the release on the bridge; the server's process, and the release's URL."""
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(PORT), "--bind", network.GATEWAY, "--directory", str(release.parent)],
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
            return process, f"http://{network.GATEWAY}:{PORT}/{release.name}"
    raise HostsError(f"the server of the k3s release did not start: is {network.GATEWAY}:{PORT} taken?")
