# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""One process of the embedded stack: how the supervisor is told about it, and what has to be done for it to run. No I/O."""
from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

#: States in which the supervisor runs a process, or is about to (http://supervisord.org/subprocess.html#process-states).
_UP = frozenset({"RUNNING", "STARTING"})
_DOWN = frozenset({"STOPPED", "EXITED", "FATAL", "BACKOFF"})
#: Lines of stack traces, and empty ones.
_NOISE = re.compile(r"\s|[a-z.]+/|goroutine |created by |$")


@dataclass(frozen=True)
class Process:
    """A process that the supervisor of the stack in ``home`` runs. ``files`` are those that it reads, as path and content."""

    home: str
    name: str
    command: Sequence[str]
    files: Mapping[str, str]
    sockets: Sequence[str] = ()
    stop_signal: str = "TERM"
    stop_seconds: int = 30
    log_max_bytes: str = "10MB"
    log_backups: int = 5

    @property
    def declaration_path(self) -> str:
        """The file by which the supervisor knows it."""
        return f"{self.home}/services/{self.name}.conf"

    @property
    def log_path(self) -> str:
        """Where its output goes."""
        return f"{self.home}/log/{self.name}.log"

    @property
    def all_files(self) -> dict[str, str]:
        """What it reads, and its declaration."""
        return {**self.files, self.declaration_path: self.declaration}

    @property
    def declaration(self) -> str:
        """The section of the supervisor's configuration, http://supervisord.org/configuration.html#program-x-section-settings.

        CONFIG_CHECKSUM stands for the files that the process reads: the supervisor restarts it when this section changes.
        """
        home, command = _escaped(self.home), _escaped(" ".join(map(shlex.quote, self.command)))
        checksum = hashlib.sha256(json.dumps(dict(self.files), sort_keys=True).encode()).hexdigest()
        in_group = "true" if self.stop_signal == "TERM" else "false"
        lines = [
            "; Written by mlops.mlflow.embedded; changes are overwritten.",
            f"[program:{self.name}]",
            f"command={command}",
            f"directory={home}",
            "; CONFIG_CHECKSUM stands for the files that the process reads: supervisor restarts it when this section changes.",
            f'environment=HOME="{home}",CONFIG_CHECKSUM="{checksum}"',
            *(f";socket={socket}" for socket in self.sockets),
            "autostart=true",
            "autorestart=true",
            "startsecs=2",
            "startretries=30",
            f"stopsignal={self.stop_signal}",
            f"stopwaitsecs={self.stop_seconds}",
            f"stopasgroup={in_group}",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={home}/log/{self.name}.log",
            f"stdout_logfile_maxbytes={self.log_max_bytes}",
            f"stdout_logfile_backups={self.log_backups}",
        ]
        return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """A text in which the supervisor expands nothing."""
    return text.replace("%", "%%")


@dataclass(frozen=True)
class Found:
    """A process as it was found: its state as the supervisor names it, empty if that does not know it, and what is to be told about it anew."""

    state: str = ""
    #: Whether its declaration differs from what the supervisor has read, or has not been read.
    is_declared_anew: bool = False
    #: Paths of the files that differ from what is wanted.
    differing: Sequence[str] = field(default_factory=tuple)
    #: What listens on its ports that is not this process, by port.
    foreign: Mapping[int, str] = field(default_factory=dict)
    #: The users that own its sockets outside the folder, by path.
    socket_owners: Mapping[str, str] = field(default_factory=dict)


def verb(found: Found) -> str:
    """What the supervisor is told: ``update``, ``restart``, ``start``, or nothing where the process runs as it should.

    >>> verb(Found("RUNNING")), verb(Found("RUNNING", differing=["/x"])), verb(Found("FATAL")), verb(Found("BACKOFF"))
    ('', 'update', 'start', 'restart')
    >>> verb(Found("", is_declared_anew=True)), verb(Found(""))
    ('update', '')
    """
    if found.differing or found.is_declared_anew:
        return "update"
    # To the supervisor, a process that it is trying to start again counts as started.
    return {"BACKOFF": "restart"}.get(found.state, "start") if found.state in _DOWN else ""


def is_new(found: Found) -> bool:
    """Whether another process answers after the run than before it, which in check mode cannot be asked.

    >>> is_new(Found("RUNNING")), is_new(Found("STARTING")), is_new(Found("RUNNING", differing=["/x"]))
    (False, True, True)
    """
    return bool(verb(found)) or found.state != "RUNNING"


def problem(found: Found, option: str, user: str) -> str:
    """Why the process must not be started, with the remedy; empty if it may. ``option`` is the variable that sets its ports.

    >>> problem(Found(foreign={5000: "python (7)", 5001: "nc (8)"}), "some_port", "mlflow")
    'some_port: python (7), nc (8) listens on port 5000, 5001 of 127.0.0.1; stop it, or choose another port'
    >>> problem(Found(socket_owners={"/tmp/a.sock": "eve", "/tmp/b.sock": "mlflow"}), "some_port", "mlflow")
    'some_port: /tmp/a.sock belongs to eve; remove it if it is a leftover, or choose another port'
    >>> problem(Found("RUNNING", socket_owners={"/tmp/a.sock": "eve"}), "some_port", "mlflow")
    ''
    """
    if found.foreign:
        who, ports = ", ".join(found.foreign.values()), ", ".join(map(str, found.foreign))
        return f"{option}: {who} listens on port {ports} of 127.0.0.1; stop it, or choose another port"
    others = {path: owner for path, owner in found.socket_owners.items() if owner != user}
    if others and found.state not in _UP:
        owners = ", ".join(dict.fromkeys(others.values()))
        return f"{option}: {', '.join(others)} belongs to {owners}; remove it if it is a leftover, or choose another port"
    return ""


def end_of_log(lines: Iterable[str], count: int = 15) -> list[str]:
    r"""The last lines of a log without stack traces.

    >>> end_of_log(["one", "  at x.go:1", "goroutine 7", "", "two"])
    ['one', 'two']
    """
    return [line for line in lines if not _NOISE.match(line)][-count:]


def supervisor_configuration(home: str, log_max_bytes: str, log_backups: int) -> str:
    """The supervisor's own configuration, http://supervisord.org/configuration.html."""
    home = _escaped(home)
    return f"""; Written by mlops.mlflow.embedded; changes are overwritten.
[supervisord]
logfile={home}/log/supervisord.log
logfile_maxbytes={log_max_bytes}
logfile_backups={log_backups}
pidfile={home}/run/supervisord.pid
childlogdir={home}/log
directory={home}
umask=077

[unix_http_server]
file={home}/run/supervisor.sock
chmod=0700

[supervisorctl]
serverurl=unix://{home}/run/supervisor.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[include]
files={home}/services/*.conf
"""
