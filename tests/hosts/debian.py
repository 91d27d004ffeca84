"""Trees of Debian: what hosts and images start from."""
from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import cache
from command import HostsError, run, succeeds
from versions import VERSIONS

# The program that tells whether it is there, and the package that has it.
PACKAGES = {
    "debootstrap": "debootstrap",
    "gcc": "gcc libc6-dev",
    "ip": "iproute2",
    "iptables": "iptables",
    "mvn": "maven",
    "ssh": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "zstd": "zstd",
}
DOCUMENTATION = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/lintian", "usr/share/locale")
MIRROR: str = VERSIONS["debian"]["mirror"]


def require(*programs: str) -> None:
    """Install, from Debian's archive, those of the programs that this machine lacks."""
    missing = [package for program in programs if not shutil.which(program) for package in PACKAGES[program].split()]
    if not missing:
        return
    if not succeeds("apt-get", "--version"):
        raise HostsError(f"this machine has no apt: install by hand what the test hosts need: {', '.join(missing)}")
    run("apt-get", "update", "--quiet")
    run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing, env={"DEBIAN_FRONTEND": "noninteractive"})


def bootstrap(suite: str, packages: Sequence[str], target: Path) -> None:
    """Install that release of Debian, with those packages and nothing that they only recommend, in ``target``."""
    require("debootstrap")
    archives = cache.root() / "debs"
    archives.mkdir(parents=True, exist_ok=True)
    # What it mounts in the tree goes with the namespace, however it ends.
    options = ["--variant=minbase", f"--cache-dir={archives}", f"--include={','.join(packages)}"]
    run("unshare", "--mount", "nice", "debootstrap", *options, suite, target, MIRROR)
    suites = [(MIRROR, suite), (MIRROR, f"{suite}-updates"), (VERSIONS["debian"]["security"], f"{suite}-security")]
    (target / "etc" / "apt" / "sources.list").write_text("".join(f"deb {mirror} {name} main\n" for mirror, name in suites))
    for name in ("etc/hostname", "etc/resolv.conf"):
        (target / name).unlink(missing_ok=True)
    remove(target, ["var/cache/apt/archives/*.deb", "var/cache/apt/*.bin", "var/lib/apt/lists/*", "var/log/*.log", "var/log/apt"])


def remove(tree: Path, patterns: Iterable[str]) -> None:
    """Remove what matches the patterns below ``tree``."""
    for pattern in patterns:
        for path in tree.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
