"""What is in the images: trees made of Debian's packages, or of a program and little else."""
from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import cache
import debian
import image
import network
import settings
from command import progress, run
from parts import parts
from versions import VERSIONS

SUITE = "trixie"
PAUSE = Path(__file__).parent / "pause.c"
POLICY = "#!/bin/sh\nexit 101\n"
NO_CLUSTER = "create_main_cluster = false\n"
POSTGRES_ID = "999"
USERS = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUPS = "root:x:0:\nnogroup:x:65534:\n"
# As in MinIO's own image, whose arguments may leave the program out.
MINIO_ENTRYPOINT = '#!/bin/sh\n[ "$1" = minio ] || set -- minio "$@"\nexec "$@"\n'
NEEDLESS = (
    *(f"{folder}/*" for folder in debian.DOCUMENTATION if folder != "usr/share/doc"),
    "usr/share/doc/*/[!c]*", "usr/share/doc/*/c[!o]*", "usr/share/i18n",
    "var/lib/apt/lists/*", "var/cache/apt/*", "var/cache/debconf/*", "var/log/*", "usr/sbin/policy-rc.d",
    "etc/resolv.conf", "etc/apt/apt.conf.d/99machine", "etc/pip.conf", "etc/environment", "root/.cache",
)  # fmt: skip


def debian_base() -> Path:
    """Debian trixie, as small as debootstrap makes it."""
    inputs = [SUITE, VERSIONS["debian"]]

    def make(folder: Path) -> None:
        progress(f"making the tree of the images: Debian {SUITE} (a minute or two, once)")
        debian.bootstrap(SUITE, ["ca-certificates"], folder / "tree")

    return cache.kept("images/base", inputs, make) / "tree"


def _install(tree: Path, packages: Sequence[str], before: Sequence[Sequence[str]] = (), after: Sequence[Sequence[str]] = ()) -> None:
    """Install the packages in a copy of the base, run the commands in it, and leave out what no container needs."""
    run("cp", "--archive", debian_base(), tree)
    bundle = (tree / settings.BUNDLE.relative_to("/")).read_bytes()
    settings.copy_into(tree)
    (tree / "etc" / "resolv.conf").write_text(network.nameservers())
    (tree / "usr" / "sbin" / "policy-rc.d").write_text(POLICY)
    (tree / "usr" / "sbin" / "policy-rc.d").chmod(0o755)
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    for words in [*before, ["apt-get", "update", "--quiet"], install, *after]:
        run("unshare", "--mount", "--pid", "--fork", "nice", "chroot", tree, *words, env={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})
    debian.remove(tree, NEEDLESS)
    (tree / settings.BUNDLE.relative_to("/")).write_bytes(bundle)


def python(tree: Path) -> None:
    """Python with venv and pip in /usr/local, where an image of Python has them."""
    _install(tree, ["python3-venv"], after=[["python3", "-m", "venv", "/usr/local"]])


def postgresql(tree: Path, user: str = POSTGRES_ID) -> None:
    """PostgreSQL 17 without a cluster and without just-in-time compilation, whose LLVM is larger than all the rest; by default, postgres is 999."""
    conf = "mkdir -p /etc/postgresql-common && printf '%s' \"$0\" > /etc/postgresql-common/createcluster.conf"
    account = [
        ["groupadd", "--system", "--gid", POSTGRES_ID, "postgres"],
        ["useradd", "--system", "--uid", user, "--gid", "postgres", "--home-dir", "/var/lib/postgresql", "--shell", "/bin/bash", "postgres"],
        ["sh", "-c", conf, NO_CLUSTER],
    ]
    folders = ["install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", "/var/lib/postgresql/data"]
    _install(tree, ["postgresql-17"], before=account, after=[folders])
    just_in_time = ["usr/lib/postgresql/17/lib/llvmjit*", "usr/lib/postgresql/17/lib/bitcode"]
    llvm = ["usr/lib/x86_64-linux-gnu/libLLVM*", "usr/lib/x86_64-linux-gnu/libz3.so*", "usr/lib/llvm-*"]
    debian.remove(tree, [*just_in_time, *llvm, "etc/ssl/private/ssl-cert-snakeoil.key"])


def pause(tree: Path) -> None:
    """A program that sleeps."""
    debian.require("gcc")
    tree.mkdir()
    run("gcc", "-Os", "-static", "-s", "-o", tree / "pause", PAUSE)


def busybox_program() -> Path:
    """Debian's statically linked busybox, which is a shell and what belongs to it."""

    def make(folder: Path) -> None:
        _install(folder / "tree", ["busybox-static"])
        program = next(path for path in (folder / "tree/usr/bin/busybox", folder / "tree/bin/busybox") if path.exists())
        shutil.copy(program, folder / "busybox")
        shutil.rmtree(folder / "tree")

    return cache.kept("images/busybox", [SUITE, VERSIONS["debian"]], make) / "busybox"


def small(tree: Path) -> None:
    """What a single program may look for: users, certificates, a folder for temporary files."""
    for name in ("bin", "etc/ssl/certs", "root", "tmp", "usr/bin", "usr/local/bin", "var"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    (tree / "etc" / "passwd").write_text(USERS)
    (tree / "etc" / "group").write_text(GROUPS)
    certificates = settings.BUNDLE.relative_to("/")
    shutil.copyfile(image.tree() / certificates, tree / certificates)


def busybox(tree: Path) -> None:
    """A shell and what belongs to it, in /bin."""
    small(tree)
    shutil.copy(busybox_program(), tree / "bin" / "busybox")
    for name in run(tree / "bin" / "busybox", "--list").split():
        if name != "busybox":
            (tree / "bin" / name).symlink_to("busybox")


def program(tree: Path, name: str, place: str) -> None:
    """One of the parts, at that place."""
    shutil.copy(parts.part(name) / name, tree / place)


def minio(tree: Path) -> None:
    """MinIO, its client and a shell."""
    busybox(tree)
    for name in ("minio", "mc"):
        program(tree, name, f"usr/bin/{name}")
    entrypoint = tree / "usr" / "bin" / "docker-entrypoint.sh"
    entrypoint.write_text(MINIO_ENTRYPOINT)
    entrypoint.chmod(0o755)


def cloudnative_pg(tree: Path) -> None:
    """The operator where its own image has it: its instances copy it from there, for their architecture."""
    small(tree)
    (tree / "operator").mkdir()
    program(tree, "cloudnative-pg", "operator/manager_amd64")
    (tree / "manager").symlink_to("operator/manager_amd64")


def delete(tree: Path) -> None:
    """Remove a tree."""
    shutil.rmtree(tree)
