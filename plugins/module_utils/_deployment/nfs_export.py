# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the role nfs asks for: the export of a folder, as the kernel's NFS server and as NFS-Ganesha read it. No I/O."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import checksum, read

_HEADER = "# Written by mlops.mlflow.nfs; changes are overwritten.\n"
#: Folders of the system itself, at its root: the role gives the folder that it exports another owner.
_SYSTEM = frozenset("bin boot dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var".split())
_SHOW_EXPORTS = ("/org/ganesha/nfsd/ExportMgr", "org.ganesha.nfsd.exportmgr.ShowExports")
_CLIENT = re.compile(r"[0-9A-Za-z.:-]+(/[0-9]{1,3})?")


@dataclass(frozen=True)
class Export:
    """The role's variables."""

    path: str = ""
    clients: Sequence[str] = field(default_factory=list)
    state: str = "present"

    @property
    def folder(self) -> str:
        """The path in the one form that both servers take."""
        return self.path.rstrip("/")

    @property
    def digest(self) -> str:
        """What tells exports of one server apart, and stays the same."""
        return checksum(self.folder)


def problems(given: Export, host: Sequence[str]) -> Iterator[str]:
    """Yield a sentence with its remedy for each problem of the variables.

    >>> list(problems(Export("/srv/mlflow", ["10.0.0.0/24", "node-1.lan", "fd00::1"]), ["parent"]))
    []
    """
    if not re.fullmatch(r"(/[\w.,+-]+)+/?", given.path) or {".", ".."} & {*given.path.split("/")}:
        yield f"nfs_path: '{given.path}' cannot be exported; set an absolute path of letters, digits and . , + - _ alone, such as /srv/mlflow"
    elif given.folder.strip("/") in _SYSTEM:
        yield f"nfs_path: '{given.path}' is a folder of the system, whose owner would change; set one of its own, such as {given.folder}/mlflow"
    elif given.state == "present" and "parent" not in host:
        yield f"nfs_path: the folder above '{given.path}' does not exist; mount the disk there first, or create it"
    if given.state == "present" and not given.clients:
        yield "nfs_clients: is empty, so that no node can mount the export; list the addresses of the nodes, or put them in the group k3s_server"
    for client in given.clients:
        if not _CLIENT.fullmatch(client) or client.endswith("/0"):
            yield (
                f"nfs_clients: '{client}' is not a host; list the address, the name or the network of each node, and nobody else's, as NFS takes a "
                "client's word for who asks"
            )


def kernel_export(given: Export) -> str:
    """Return the file of /etc/exports.d. With an fsid of its own, mounts outlive a server whose disk has another device number.

    >>> print(kernel_export(Export("/srv/mlflow", ["10.0.0.11"])).splitlines()[1])
    /srv/mlflow 10.0.0.11(rw,sync,no_subtree_check,root_squash,fsid=eb36db1d-b583-829f-881c-8264e7afcb89)
    """
    fsid = UUID(given.digest[:32])
    options = f"(rw,sync,no_subtree_check,root_squash,fsid={fsid})"
    return f"{_HEADER}{given.folder} {' '.join(client + options for client in given.clients)}\n"


def ganesha_export(given: Export) -> str:
    """Return the file that ganesha.conf includes. Its Export_Id is from 1 to 65535."""
    number = 1 + int(given.digest[:8], 16) % 65535
    return f"""{_HEADER}EXPORT {{
    Export_Id = {number};
    Path = {given.folder};
    Pseudo = {given.folder};
    Protocols = 3, 4;
    Transports = TCP;
    SecType = sys;
    Squash = root_squash;
    Access_Type = None;
    FSAL {{ Name = VFS; }}
    CLIENT {{ Clients = {", ".join(given.clients)}; Access_Type = RW; }}
}}
"""


def place(given: Export, host: Sequence[str]) -> dict[str, Any]:
    """Return what the host needs: the server's packages and unit, the file of the export and, for Ganesha, the line that includes it.

    ``exports`` is the command that lists what the server exports, and ``listed`` how a line of it with this folder begins.
    """
    name, folder = f"mlops-mlflow-{given.digest[:10]}", re.escape(given.folder)
    if "kernel" in host:
        return {
            "packages": ["nfs-kernel-server" if "debian" in host else "nfs-utils"], "service": "nfs-server", "folder": given.folder,
            "file": f"/etc/exports.d/{name}.exports", "content": kernel_export(given), "include": "",
            "reload": ["exportfs", "-ra"], "exports": ["exportfs", "-s"], "listed": rf"{folder}\s",
        }  # fmt: skip
    file = f"/etc/ganesha/{name}.conf"
    return {
        "packages": ["nfs-ganesha", "nfs-ganesha-vfs"], "service": "nfs-ganesha", "folder": given.folder,
        "file": file, "content": ganesha_export(given), "include": f'%include "{file}"',
        # showmount leaves out what the host itself may not mount.
        "reload": ["systemctl", "reload", "nfs-ganesha"],
        "exports": ["dbus-send", "--system", "--print-reply", "--dest=org.ganesha.nfsd", *_SHOW_EXPORTS],
        "listed": rf'\s*string "{folder}"',
    }  # fmt: skip


def refused(given: Export, host: Sequence[str]) -> str:
    """Return why the server does not do as it is told, as far as that can be known."""
    found = place(given, host)
    if given.state == "absent":
        return (
            f"nfs_state: is absent, but {found['service']} still exports '{given.folder}': look for it in the server's other files, and restart it."
        )
    return (
        f"nfs_path: '{given.path}' is not exported, though {found['service']} was told so in {found['file']}: see its log, and choose a folder on a "
        "file system that can be exported, such as ext4 or XFS, but no overlay."
    )


def _export(given: Mapping[str, Any]) -> Export:
    return read(Export, given["variables"], "nfs_")


DECISIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "place": lambda given: place(_export(given), given["host"]),
    "problems": lambda given: [*problems(_export(given), given["host"])],
    "refused": lambda given: refused(_export(given), given["host"]),
}
