"""Brings up Linux hosts on this machine for Ansible to work on, and removes them without a trace; see README.md."""
from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import debian
import image
import kernel
import machine
import network
import release
import state
from command import HostsError, progress, run
from images import images
from inventory import inventory
from parts import parts
from state import Host, Process, State

#: What hosts need of this machine.
PROGRAMS = ("systemd-nspawn", "ip", "iptables", "ssh")


def up(count: int, prefix: str = "akko", airgap: bool = False, k3s: str | None = None, servers: int = 1) -> State:
    """Bring up that many hosts; with ``k3s``, serve that release of k3s (``standin``, or the path of a k3s) on the bridge.

    The first ``servers`` of them are k3s_server in the inventory. Raises HostsError where hosts are up already, or one does not come up.
    """
    if state.load():
        raise HostsError("test hosts are up already: `hosts.py down` removes them")
    if os.geteuid() != 0:
        raise HostsError("test hosts need root")
    debian.require(*PROGRAMS)
    content = release.folder(k3s) if k3s else None
    image.tree()

    hosts = [Host(f"{prefix}-{index + 1}", network.address(index)) for index in range(count)]
    here = State(airgap=airgap, kernel=kernel.before(), hosts=hosts, servers=servers)
    here.save()
    kernel.prepare()
    network.up(airgap)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test hosts", "-f", state.KEY)
    if content:
        here.release_folder = str(content)
        here.release, here.release_url = release.serve(content)
        here.save()
    for host in hosts:
        machine.create(host, hosts, airgap)
        machine.boot(host)
        here.save()
    for host in hosts:
        machine.wait(host)
    return here


def add(name: str) -> Host:
    """Bring up one more host, beside the cluster, as nfs_server of the inventory. Nothing is done where it is up already."""
    here = present()
    if name in {host.name for host in here.hosts}:
        return here.host(name)
    taken = {host.address for host in here.hosts}
    free = next(address for index in range(100) if (address := network.address(index)) not in taken)
    host = Host(name, free, is_node=False)
    here.hosts.append(host)
    here.save()
    machine.create(host, here.hosts, here.airgap)
    machine.boot(host)
    here.save()
    machine.wait(host)
    return host


def remove(name: str) -> None:
    """Remove a host that was added."""
    here = present()
    machine.destroy(here.host(name))
    here.hosts = [host for host in here.hosts if host.name != name]
    here.save()


def make() -> None:
    """Make all that is kept between runs, and install what hosts need of this machine, so that ``up`` and scenarios take seconds."""
    debian.require(*PROGRAMS, "debootstrap", "gcc", "zstd")
    # Debian's packages come while Go builds.
    with ThreadPoolExecutor(2) as pool:
        trees, programs = pool.submit(lambda: (image.tree(), images.folder())), pool.submit(parts.collected)
        trees.result()
        programs.result()
    release.standin()


def present() -> State:
    """What is up. Raises HostsError where nothing is."""
    found = state.load()
    if not found:
        raise HostsError("no test hosts are up: `hosts.py up --count N` brings them up")
    return found


def start(name: str) -> None:
    """Boot a host that was stopped, and wait for its SSH."""
    here = present()
    host = here.host(name)
    machine.boot(host)
    here.save()
    machine.wait(host)


def stop(name: str, kill: bool = False) -> None:
    """Shut a host down in order or, with ``kill``, as if its power went."""
    machine.stop(present().host(name), kill)


def reboot(name: str) -> None:
    """Boot a host anew, and wait for its SSH."""
    machine.reboot(present().host(name))


def down() -> None:
    """Remove the hosts and all that came with them; what is kept between runs stays in the cache."""
    here = state.load()
    if not here:
        return
    for host in here.hosts:
        machine.destroy(host)
    _end(here.release)
    network.down()
    kernel.restore(here.kernel)
    shutil.rmtree(state.FOLDER)


def _end(process: Process) -> None:
    if process.runs():
        os.kill(process.pid, signal.SIGTERM)
    while process.runs():
        time.sleep(0.1)


def status() -> str:
    """A line for each host and for the server of the release."""
    here = present()
    lines = [f"{host.name}\t{host.address}\t{_told(host)}\n" for host in here.hosts]
    if here.release_url:
        lines.append(f"k3s\t{here.release_url}\t{'up' if here.release.runs() else 'down'}\n")
    return "".join(lines)


def _told(host: Host) -> str:
    if not host.process.runs():
        return "down"
    return "up" if machine.answers(host) else "up, but SSH does not answer"


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hosts.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("up", help="bring hosts up")
    command.add_argument("--count", type=int, default=1, help="how many (default 1)")
    command.add_argument("--servers", type=int, default=1, help="how many of them are k3s_server in the inventory (default 1)")
    command.add_argument("--prefix", default="akko", help="what their names begin with (default akko: akko-1, akko-2 …)")
    command.add_argument("--airgap", action="store_true", help="they reach one another and this machine, nobody else")
    command.add_argument("--k3s", metavar="standin|PATH", help="serve this release of k3s on the bridge")
    for name, text in {
        "start": "boot a stopped host",
        "reboot": "boot a host anew",
        "add": "bring up one more, beside the cluster",
        "remove": "remove one of these",
    }.items():
        commands.add_parser(name, help=text).add_argument("name")
    command = commands.add_parser("stop", help="shut a host down")
    command.add_argument("name")
    command.add_argument("--kill", action="store_true", help="as if its power went")
    command = commands.add_parser("ssh", help="run a command on a host, or a shell")
    command.add_argument("name")
    command.add_argument("words", nargs=argparse.REMAINDER)
    for name, text in {
        "inventory": "print the Ansible inventory",
        "status": "print what is up",
        "down": "remove the hosts and all that came with them",
        "make": "make all that is kept between runs: half an hour, once",
        "parts": "make the programs, and print their folder",
        "images": "make the images for scenarios, and print their folder",
        "release": "print the folder of the release of k3s that is served; where no hosts are up, make the stand-in's",
        "later": "make a release of the stand-in that calls itself the next, and print its folder",
    }.items():
        commands.add_parser(name, help=text)
    return parser


def _ssh(name: str, words: list[str]) -> None:
    command = machine.ssh_command(present().host(name), *words)
    os.execvp(command[0], command)


def _up(said: argparse.Namespace) -> None:
    up(said.count, said.prefix, said.airgap, said.k3s, said.servers)
    _print(status())


def _print(text: str | Path) -> None:
    print(str(text).rstrip("\n"))


def _work(said: argparse.Namespace) -> None:
    works: dict[str, Callable[[], None]] = {
        "up": lambda: _up(said),
        "start": lambda: start(said.name),
        "stop": lambda: stop(said.name, said.kill),
        "reboot": lambda: reboot(said.name),
        "add": lambda: _print(add(said.name).address),
        "remove": lambda: remove(said.name),
        "ssh": lambda: _ssh(said.name, said.words),
        "inventory": lambda: _print(inventory(present().hosts, present().servers)),
        "status": lambda: _print(status()),
        "down": down,
        "make": make,
        "parts": lambda: _print(parts.collected()),
        "images": lambda: _print(images.folder()),
        "release": lambda: _print(here.release_folder if (here := state.load()) else release.standin()),
        "later": lambda: _print(release.standin("later")),
    }
    works[said.command]()


def main() -> int:
    """Do what the command line says."""
    try:
        _work(_arguments().parse_args())
    except HostsError as problem:
        progress(str(problem))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
