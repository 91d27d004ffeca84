"""The command `k3s`, and the commands that are links to it."""
from __future__ import annotations

import os
import sys
from pathlib import Path

from .errors import K3sError
from .layout import KUBECONFIG, Layout
from .log import log
from .payload import binaries, facts

USAGE = """NAME:
   k3s - a stand-in for k3s, for tests: Kubernetes' own parts behind k3s's interface

USAGE:
   k3s [--version] COMMAND [arguments...]

COMMANDS:
   server       Run management server
   agent        Run node agent
   kubectl      Run kubectl
   ctr          Run ctr
   crictl       Not in this stand-in
   token        `token create` prints the token of this server
   etcd-snapshot  `etcd-snapshot save` saves a snapshot of etcd
   check-config   Not in this stand-in
"""
TOOLS = ("kubectl", "ctr", "crictl")


def version(name: str = "k3s") -> str:
    """What --version prints, in k3s's two lines: k3s calls itself what its file is called."""
    known = facts()
    return f"{name} version {known['version']} (stand-in of the tests, made of Kubernetes' own parts)\ngo version {known['go']}"


def _path(layout: Layout) -> None:
    os.environ["PATH"] = f"{binaries(layout)}:{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _data() -> Layout:
    """The data folder for tools: that of the running service where it is readable, else the user's own."""
    layout = Layout()
    if os.geteuid() == 0 or (layout.data / "data" / "current").exists():
        return layout
    return Layout(Path.home() / ".rancher" / "k3s")


def tool(name: str, arguments: list[str]) -> int:
    """Become kubectl or ctr; returns a status only where that is not possible."""
    if name == "crictl":
        print("crictl is not in this stand-in: it comes from no registry; use k3s ctr", file=sys.stderr)
        return 1
    _path(_data())
    if name == "kubectl" and "KUBECONFIG" not in os.environ:
        os.environ["KUBECONFIG"] = str(KUBECONFIG)
    if name == "ctr":
        from .containerd import environment  # noqa: PLC0415 - kubectl starts without PyYAML
        os.environ.update(environment())
    return os.execvp(name, [name, *arguments])


def _service(command: str, arguments: list[str]) -> int:
    from . import agent, options, server, supervisor  # noqa: PLC0415 - kubectl starts without them

    given = options.read(arguments, command)
    layout = Layout(Path(given.text("data-dir", str(Layout().data))))
    if os.geteuid() != 0:
        raise K3sError("must run as root")
    _path(layout)
    log(f"Starting {version().splitlines()[0]}")
    if given.idle:
        log(f"Options that change nothing in this stand-in: {', '.join(given.idle)}", "warning")
    processes = supervisor.Supervisor()
    try:
        (server if command == "server" else agent).run(given, layout, processes)
    except supervisor.Stopped:
        return 0
    finally:
        processes.end()
    return 0


def _token(arguments: list[str]) -> int:
    if arguments[:1] != ["create"]:
        raise K3sError("of `k3s token` this stand-in has `create` alone")
    print((Layout().server / "token").read_text().strip())
    return 0


def dispatch(name: str, arguments: list[str]) -> int:
    """Run `name`, which is k3s or one of its links, with `arguments`; returns the exit status."""
    command, rest = (name, arguments) if name in TOOLS else ((arguments or ["help"])[0], arguments[1:])
    if command in TOOLS:
        return tool(command, rest)
    if command in {"--version", "-v", "version"}:
        print(version(name))
    elif command in {"help", "--help", "-h"}:
        print(USAGE, end="")
    elif command in {"server", "agent"}:
        return _service(command, rest)
    elif command == "token":
        return _token(rest)
    elif command == "etcd-snapshot":
        from . import etcd  # noqa: PLC0415 - kubectl starts without it
        return etcd.snapshot(rest)
    else:
        print(f"No help topic for '{command}'", file=sys.stderr)
        return 3
    return 0


def main() -> None:
    """Run the command line; a failure is one line of the log."""
    try:
        status = dispatch(Path(sys.argv[0]).name, sys.argv[1:])
    except K3sError as error:
        log(str(error), "fatal")
        status = 1
    sys.exit(status)
