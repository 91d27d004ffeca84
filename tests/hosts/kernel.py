"""Settings of this machine's kernel that several hosts at once need, and that have no namespace of their own."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# Each systemd, containerd and kubelet takes inotify instances, of which a machine has 128 where nothing else is said.
LEAST = {"fs/inotify/max_user_instances": 1024, "fs/inotify/max_user_watches": 524288, "net/ipv4/ip_forward": 1}
SETTINGS = Path("/proc/sys")


def before() -> dict[str, str]:
    """The settings as they are."""
    return {name: (SETTINGS / name).read_text().strip() for name in LEAST}


def prepare() -> None:
    """Raise what is too low for test hosts."""
    for name, value in before().items():
        if int(value) < LEAST[name]:
            (SETTINGS / name).write_text(str(LEAST[name]))


def restore(values: Mapping[str, str]) -> None:
    """Put the settings back."""
    for name, value in values.items():
        (SETTINGS / name).write_text(value)
