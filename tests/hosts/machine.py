"""One test host: a tree over the image's, and systemd as its first process in namespaces of its own."""
from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import image
import network
import settings
from command import HostsError, run, succeeds
from state import KEY, Host, Process

BOOT_SECONDS = 90
STOP_SECONDS = 90
CGROUP = "mlops-mlflow-hosts"
SSH_OPTIONS = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")
NETWORK = """\
[Match]
Name=host0

[Network]
Address={address}/{length}
Gateway={gateway}
LinkLocalAddressing=no
LLDP=no
"""


def create(host: Host, hosts: Sequence[Host], airgap: bool) -> None:
    """Make the host's tree. /var lies on this machine's own filesystem, since an overlay takes no overlay as its upper folder."""
    lower = image.tree()
    for name in ("upper", "work", "root"):
        (host.folder / name).mkdir(parents=True)
    run("cp", "--archive", lower / "var", host.folder / "var")
    _mount(host)
    root = host.root
    files = {
        "etc/hostname": f"{host.name}\n",
        "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost\n" + "".join(f"{other.address} {other.name}\n" for other in hosts),
        "etc/machine-id": f"{uuid.uuid4().hex}\n",
        "etc/resolv.conf": network.no_nameserver() if airgap else network.nameservers(),
        "etc/systemd/network/10-host0.network": NETWORK.format(address=host.address, length=network.PREFIX_LENGTH, gateway=network.GATEWAY),
    }
    for path, text in files.items():
        (root / path).write_text(text)
    settings.copy_into(root)
    ssh = root / "root" / ".ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(KEY.with_suffix(".pub"), ssh / "authorized_keys")
    run("ssh-keygen", "-A", "-f", root)


def _mount(host: Host) -> None:
    if not os.path.ismount(host.root):
        folders = f"lowerdir={image.tree()},upperdir={host.folder / 'upper'},workdir={host.folder / 'work'}"
        run("mount", "-t", "overlay", "overlay", "-o", folders, host.root)


def _cgroup_mounts() -> list[Path]:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(mount[1]) for mount in mounts if mount[2] in {"cgroup", "cgroup2"}]


def _make_cgroups(host: Host) -> list[Path]:
    """A cgroup of its own in each hierarchy, which the host sees as the root of that hierarchy."""
    made = []
    for mount in _cgroup_mounts():
        folder = mount
        for name in (CGROUP, host.name):
            folder = folder / name
            folder.mkdir(exist_ok=True)
            for limit in ("cpuset.cpus", "cpuset.mems"):  # empty in a new cgroup of v1, which then takes no process
                if (folder / limit).exists() and not (folder / limit).read_text().strip() and mount.name == "cpuset":
                    (folder / limit).write_text((folder.parent / limit).read_text())
        made.append(folder)
    return made


def _remove_cgroups(host: Host) -> None:
    """Remove the host's cgroups, and with the last host the folder of them all."""
    for mount in _cgroup_mounts():
        for folder, _folders, _files in os.walk(mount / CGROUP / host.name, topdown=False):
            Path(folder).rmdir()
        if (mount / CGROUP).exists() and not [entry for entry in (mount / CGROUP).iterdir() if entry.is_dir()]:
            (mount / CGROUP).rmdir()


def _boot_command(host: Host) -> list[str]:
    options = [
        "--quiet",
        "--register=no",
        "--boot",
        f"--directory={host.root}",
        f"--machine={host.name}",
        f"--hostname={host.name}",
        f"--network-bridge={network.BRIDGE}",
        "--capability=all",
        # The last is what an NFS server in user space opens files by.
        "--system-call-filter=add_key keyctl bpf @mount @module @keyring perf_event_open open_by_handle_at",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        f"--bind={host.folder / 'var'}:/var",
        *(f"--bind={device}" for device in ("/dev/kmsg", "/dev/fuse") if Path(device).exists()),
    ]
    if not Path("/run/systemd/system").exists():
        options.append("--keep-unit")
    return ["systemd-nspawn", *options]


#: What this process has started. Python warns of a process that runs on after nothing refers to it.
_BOOTED: list[subprocess.Popen[bytes]] = []


def boot(host: Host) -> None:
    """Start the host, where it does not run, in a session of its own so that it outlives whoever called."""
    if host.process.runs():
        return
    _mount(host)
    # The kernel takes its time to remove that of a host which was killed.
    succeeds("ip", "link", "delete", f"vb-{host.name}")
    enter = "".join(f"echo $$ > {shlex.quote(str(folder))}/cgroup.procs\n" for folder in _make_cgroups(host))
    # By this status systemd-nspawn asks to be started again, since the host boots anew.
    supervise = f"while :; do status=0; {shlex.join(_boot_command(host))} || status=$?; [ $status = 133 ] || exit $status; done"
    with (host.folder / "console.log").open("ab") as console:
        started = subprocess.Popen(
            ["/bin/sh", "-ec", f"{enter}{supervise}"],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env={"PATH": os.environ["PATH"], "SYSTEMD_NSPAWN_TMPFS_TMP": "0", "SYSTEMD_LOG_LEVEL": "notice"},
        )
    _BOOTED.append(started)
    host.process = Process.of(started.pid)


def ssh_command(host: Host, *words: str) -> list[str]:
    """The command that runs a command on the host."""
    return ["ssh", "-i", str(KEY), *SSH_OPTIONS, "-o", "BatchMode=yes", "-o", "ConnectTimeout=3", f"root@{host.address}", *words]


def answers(host: Host) -> bool:
    """Whether SSH lets in."""
    return succeeds(*ssh_command(host, "true"))


def boot_id(host: Host) -> str:
    """What changes with each boot."""
    return run(*ssh_command(host, "cat", "/proc/sys/kernel/random/boot_id")).strip()


def wait(host: Host) -> None:
    """Come back when SSH answers. Raises HostsError with the end of the host's console where it does not."""
    end = time.monotonic() + BOOT_SECONDS
    while not answers(host):
        if not host.process.runs() or time.monotonic() > end:
            console = (host.folder / "console.log").read_text(errors="replace").splitlines()[-20:]
            raise HostsError(f"{host.name} ({host.address}) did not come up within {BOOT_SECONDS} s; the end of its console:\n" + "\n".join(console))
        time.sleep(0.3)


def reboot(host: Host) -> None:
    """Boot the host anew, as from its own command line. Raises HostsError where it does not come back."""
    before = boot_id(host)
    succeeds(*ssh_command(host, "systemctl", "reboot"))
    end = time.monotonic() + STOP_SECONDS
    while answers(host) and boot_id(host) == before:
        if time.monotonic() > end:
            raise HostsError(f"{host.name} did not go down within {STOP_SECONDS} s")
        time.sleep(0.3)
    wait(host)


def stop(host: Host, kill: bool = False) -> None:
    """Shut the host down in order; at once with ``kill``, or where that takes longer than 90 s."""
    if not host.process.runs():
        return
    shell = [host.process]
    container = [child for process in shell for child in _children(process)]
    leader = [child for process in container for child in _children(process)]
    if not kill:
        _signal(container, signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        while host.process.runs() and time.monotonic() < end:
            time.sleep(0.2)
    everything = [*shell, *container, *leader]
    _signal(everything, signal.SIGKILL)
    while any(process.runs() for process in everything):
        time.sleep(0.1)


def _children(process: Process) -> list[Process]:
    try:
        words = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    except OSError:
        return []
    return [Process.of(int(word)) for word in words]


def _signal(processes: Sequence[Process], number: int) -> None:
    for process in processes:
        if process.runs():
            os.kill(process.pid, number)


def destroy(host: Host) -> None:
    """Stop the host and remove its files, mounts and cgroups."""
    stop(host)
    while os.path.ismount(host.root):
        run("umount", host.root)
    _remove_cgroups(host)
    shutil.rmtree(host.folder)
    for folder in (Path("/run/systemd/nspawn/propagate") / host.name, Path("/run/systemd/nspawn/unix-export") / host.name):
        if folder.exists():
            shutil.rmtree(folder)
