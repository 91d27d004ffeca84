"""Pack the stand-in into one executable file: a zip of its modules, PyYAML, the binaries and the manifests, behind a line that names Python."""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
PARTS = ("hyperkube", "kine", "flannel", "kube-router")
HYPERKUBE = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")
"""Names by which hyperkube is called."""
LINKS = {name: "hyperkube" for name in HYPERKUBE} | {name: f"/usr/bin/{name}" for name in ("containerd", "ctr")}
"""Links beside the binaries; that to ctr keeps the link of the same name that an installer makes to k3s from calling itself."""
IMAGES = {
    "pause": "docker.io/rancher/mirrored-pause:3.6",
    "coredns": "docker.io/rancher/mirrored-coredns-coredns:1.14.6",
    "local-path-provisioner": "docker.io/rancher/local-path-provisioner:v0.0.30",
    "busybox": "docker.io/rancher/mirrored-library-busybox:1.37.0",
    "traefik": "docker.io/rancher/mirrored-library-traefik:3.7.13",
}
MAIN = "from stand_in.cli import main\nmain()\n"
EPOCH = (2020, 1, 1, 0, 0, 0)


def members(parts: Path) -> dict[str, Path]:
    """The archive's files: their names in it, and where each comes from."""
    found = {f"stand_in/{path.name}": path for path in (HERE / "stand_in").glob("*.py")}
    found |= {f"yaml/{path.name}": path for path in Path(yaml.__file__).parent.glob("*.py")}
    found |= {f"payload/manifests/{path.name}": path for folder in (HERE / "manifests", parts / "manifests") for path in folder.glob("*.yaml")}
    found |= {f"payload/bin/{name}": parts / "bin" / name for name in PARTS}
    return dict(sorted(found.items()))


def entry(name: str, mode: int) -> zipfile.ZipInfo:
    """A member whose bytes do not depend on when it was packed."""
    info = zipfile.ZipInfo(name, EPOCH)
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def pack(parts: Path, output: Path, version: str, images: dict[str, str], linked: str = "") -> None:
    """Write the executable `output`.

    Args:
        parts: a folder with bin/ and manifests/.
        output: the file to make.
        version: what it calls itself, such as v1.34.4+k3s1.
        images: references of its own images by name.
        linked: the version, as long as the other, that Kubernetes was linked with and is to call itself no more.

    """
    if len(linked or version) != len(version):
        sys.exit(f"{version} is not as long as {linked}, in whose place it is to come")
    files = members(parts)
    digest = hashlib.sha256(version.encode())
    for name, path in files.items():
        digest.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
    digest.update(json.dumps([images, LINKS]).encode())
    go = subprocess.run(["go", "version", str(parts / "bin" / "hyperkube")], capture_output=True, text=True, check=True).stdout.split()[-1]
    facts = {"version": version, "hash": digest.hexdigest(), "go": go, "images": json.dumps(images)}
    new = output.with_name(f".{output.name}.new")
    with new.open("wb") as stream:
        stream.write(b"#!/usr/bin/python3 -S\n")
        with zipfile.ZipFile(stream, "w", compresslevel=6) as archive:
            archive.writestr(entry("__main__.py", 0o100644), MAIN)
            archive.writestr(entry("payload/facts.json", 0o100644), json.dumps(facts))
            for name, path in files.items():
                with archive.open(entry(name, 0o100755 if "/bin/" in name else 0o100644), "w") as sink:
                    content = path.read_bytes()
                    sink.write(content.replace(linked.encode(), version.encode()) if linked and path.name == "hyperkube" else content)
            for name, target in LINKS.items():
                archive.writestr(entry(f"payload/bin/{name}", 0o120777), target)
    new.chmod(0o755)
    os.replace(new, output)


def main() -> None:
    """Read the command line and pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=Path, required=True, help="folder with bin/ and manifests/")
    parser.add_argument("--output", type=Path, required=True, help="the executable to make")
    parser.add_argument("--version", default="v1.34.4+k3s1", help="what it calls itself")
    parser.add_argument("--linked", default="", help="the version that Kubernetes was linked with, where that is another")
    parser.add_argument("--image", action="append", default=[], metavar="NAME=REFERENCE", help=f"another image for one of {', '.join(IMAGES)}")
    given = parser.parse_args()
    missing = [name for name in PARTS if not (given.parts / "bin" / name).is_file()]
    if missing:
        sys.exit(f"{given.parts}/bin lacks {', '.join(missing)}: build the parts first")
    pack(given.parts, given.output, given.version, IMAGES | dict(item.split("=", 1) for item in given.image), given.linked)


if __name__ == "__main__":
    main()
