"""The systemd notification protocol, as far as a service of Type=notify needs it."""
from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Tell systemd `state` (sd_notify(3)); nothing happens where no systemd listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.connect(address)
        connection.sendall(state.encode())
