# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Bring one process of the embedded stack to where it is wanted: its files, its declaration, its state, its answer."""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import supervised_process
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.supervised_process import Found, Process
from ansible_collections.mlops.mlflow.plugins.module_utils._embedded import files, ports, readiness
from ansible_collections.mlops.mlflow.plugins.module_utils._embedded.supervisor import Refused, Supervisor


@dataclass(frozen=True)
class Ready:
    """How to tell that a process answers, and how long that may take, in seconds. Each URL and the command must answer."""

    urls: Sequence[str] = ()
    username: str = ""
    password: str = ""
    command: Sequence[str] = ()
    seconds: int = 90


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be: the files that were written, and what the supervisor was told. ``problem`` says why the process does not run."""

    written: Sequence[str] = ()
    verb: str = ""
    is_new: bool = False
    made_folders: Sequence[str] = ()
    problem: str = ""

    @property
    def steps(self) -> list[str]:
        """What was done, in order, for the diff; empty where nothing was."""
        made = [f"create {path}" for path in self.made_folders]
        return made + [f"write {path}" for path in self.written] + ([f"supervisorctl {self.verb}"] if self.verb else [])


def bring_up(process: Process, user: str, own_ports: list[int], option: str, folders: list[str], ready: Ready, check: bool) -> Outcome:
    """Look, write what differs, tell the supervisor, and wait until the process answers. With ``check``, only look."""
    supervisor = Supervisor(process.home)
    try:
        if not check:
            supervisor.wait()
        found = _look(process, supervisor, user, own_ports, check)
        problem = supervised_process.problem(found, option, user)
        if problem:
            return Outcome(problem=problem)
        missing = [folder for folder in folders if not os.path.isdir(folder)]
        verb = supervised_process.verb(found)
        if not check:
            _apply(process, supervisor, user, [*missing], found.differing, verb)
            if not _answers(ready, lambda: supervisor.state(process.name) == "FATAL"):
                return Outcome(problem=_explained(process, f"{process.name} did not answer within {ready.seconds} seconds"))
    except OSError as error:
        return Outcome(problem=f"{process.home}: {error}")
    except Refused as error:
        return Outcome(problem=_explained(process, f"{process.name}: the supervisor answers {error}"))
    return Outcome(found.differing, verb, supervised_process.is_new(found), missing)


def _look(process: Process, supervisor: Supervisor, user: str, own_ports: list[int], check: bool) -> Found:
    """The process as it is now. Where no supervisor runs, which check mode may find, it has no state."""
    try:
        is_declared_anew = supervisor.is_declared_anew(process.name)
        state = supervisor.settled_state(process.name)
    except OSError:
        if not check:
            raise
        state, is_declared_anew = "", False
    return Found(
        state=state,
        is_declared_anew=is_declared_anew,
        differing=files.differing(process.all_files, user),
        # One that restarts because its port is taken counts as running too.
        foreign=ports.taken(process.home, process.name, own_ports),
        socket_owners=files.owners(list(process.sockets)),
    )


def _apply(process: Process, supervisor: Supervisor, user: str, folders: list[str], differing: Sequence[str], verb: str) -> None:
    for folder in folders:
        files.make_folder(folder, user)
    for path in differing:
        files.write(path, process.all_files[path], user)
    if verb:
        supervisor.tell(verb, process.name)


def _explained(process: Process, problem: str) -> str:
    end = supervised_process.end_of_log(files.last_lines(process.log_path))
    return "\n".join([f"{problem}. The end of {process.log_path}:", *end])


def _answers(ready: Ready, is_over: Callable[[], bool]) -> bool:
    def all_answer() -> bool:
        urls = all(readiness.url_answers(url, ready.username, ready.password) for url in ready.urls)
        return urls and (not ready.command or readiness.command_succeeds(list(ready.command)))

    return readiness.comes_true(all_answer, ready.seconds, is_over)
