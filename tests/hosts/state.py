"""What is up: the hosts, their addresses and the processes that were started, in a file of the state folder."""
from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from command import HostsError

FOLDER = Path("/var/tmp/mlops-mlflow-hosts")
FILE = FOLDER / "state.json"
KEY = FOLDER / "id_ed25519"


@dataclass
class Process:
    """A process that was started, told by its id and when it began, since ids are used again; ``pid`` 0 is none."""

    pid: int = 0
    began: str = ""

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process of that id."""
        return cls(pid, _began(pid))

    def runs(self) -> bool:
        """Whether it still runs."""
        return bool(self.pid) and self.began != "" and _began(self.pid) == self.began


def _began(pid: int) -> str:
    """When the process began, in the kernel's ticks; '' where there is none, or it has ended and waits to be noticed."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if words[0] in "ZX" else words[19]


@dataclass
class Host:
    """A test host."""

    name: str
    address: str
    process: Process = field(default_factory=Process)
    is_node: bool = True

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return FOLDER / self.name

    @property
    def root(self) -> Path:
        """The tree that it sees as /."""
        return self.folder / "root"


@dataclass
class State:
    """All that is up."""

    airgap: bool
    kernel: dict[str, str]
    hosts: list[Host]
    servers: int = 1
    release: Process = field(default_factory=Process)
    release_url: str = ""
    release_folder: str = ""

    def host(self, name: str) -> Host:
        """The host of that name. Raises HostsError where there is none."""
        found = {host.name: host for host in self.hosts}
        if name not in found:
            raise HostsError(f"no host is called {name}: there are {', '.join(found)}")
        return found[name]

    def save(self) -> None:
        """Write it to the state folder."""
        FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = FILE.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(self), indent=1))
        os.replace(unfinished, FILE)


def load() -> State | None:
    """What is up, or None."""
    if not FILE.exists():
        return None
    read = json.loads(FILE.read_text())
    hosts = [Host(**host | {"process": Process(**host["process"])}) for host in read.pop("hosts")]
    return State(hosts=hosts, release=Process(**read.pop("release")), **read)
