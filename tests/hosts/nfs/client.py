"""An NFS client for hosts whose kernel has none: a /sbin/mount.nfs of our own, which is what mount(8) and the kubelet run."""
from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import machine
from command import HostsError
from state import Host

SOURCE = Path(__file__).with_name("mount_nfs.c")
PLACE = "/sbin/mount.nfs"
PACKAGES = "gcc libc6-dev libfuse3-dev libnfs-dev"
BUILD = f"""set -eu
export DEBIAN_FRONTEND=noninteractive
dpkg --status {PACKAGES} >/dev/null 2>&1 || {{ apt-get update --quiet; apt-get install --yes --quiet --no-install-recommends {PACKAGES}; }} >&2
gcc -O2 -Wall -Wextra -D_FILE_OFFSET_BITS=64 -static -x c -o /tmp/mount.nfs - -lnfs -lfuse3 -lpthread -ldl
cat /tmp/mount.nfs"""


def ran(host: Host, script: str, given: bytes = b"") -> bytes:
    """What a shell script on the host prints. Raises HostsError with what it says where it fails."""
    done = subprocess.run(machine.ssh_command(host, script), input=given, capture_output=True, check=False)
    if done.returncode != 0:
        raise HostsError(f"{host.name}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def built(host: Host) -> bytes:
    """The program, linked statically on that host, which has Debian's compiler afterwards; the others need nothing."""
    return ran(host, BUILD, SOURCE.read_bytes())


def install(program: bytes, hosts: Sequence[Host]) -> None:
    """Put it in place on the hosts."""
    for host in hosts:
        ran(host, f"cat >{PLACE}.new && chmod 755 {PLACE}.new && mv {PLACE}.new {PLACE}", program)


def remove(hosts: Sequence[Host]) -> None:
    """Remove it from the hosts. What is mounted stays so."""
    for host in hosts:
        ran(host, f"rm -f {PLACE}")
