# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Whether a node of k3s is Ready, will be, or will not be, from what roles/k3s/files/wait.sh prints on it. No I/O."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: systemd starts k3s again each time that it exits. One that has exited so often does not come up.
EXITS = 5


@dataclass(frozen=True)
class Wait:
    """What is waited for: the node, its version, the unit that runs it, and for how many seconds."""

    node: str
    version: str
    unit: str
    timeout: int


@dataclass(frozen=True)
class Report:
    """How often k3s has exited since it was started, and what the node lacks; nothing if it is Ready."""

    exits: int
    lacks: str


def report(printed: str) -> Report:
    r"""Return what wait.sh says. A unit that systemd does not know has no number of exits.

    >>> report("2\nit has not registered yet\n"), report("0\nready"), report("\nready")
    (Report(exits=2, lacks='it has not registered yet'), Report(exits=0, lacks=''), Report(exits=0, lacks=''))
    """
    exits, _newline, lacks = printed.rstrip("\n").partition("\n")
    return Report(int(exits or 0), "" if lacks == "ready" else lacks)


def progress(wait: Wait, found: Report, waited: int) -> str:
    """Return how it stands, on one line.

    >>> wait = Wait("a", "v1", "k3s", 600)
    >>> progress(wait, Report(0, "it has not registered yet"), 10), progress(wait, Report(0, ""), 12)
    ('a: it has not registered yet, 10 of 600 seconds', 'a: Ready with v1, 12 seconds')
    """
    if not found.lacks:
        return f"{wait.node}: Ready with {wait.version}, {waited} seconds"
    return f"{wait.node}: {found.lacks}, {waited} of {wait.timeout} seconds"


def is_over(wait: Wait, found: Report, waited: int) -> bool:
    """Return whether there is nothing more to wait for: the node is Ready, k3s exits again and again, or the time has elapsed.

    >>> cases = ((Report(0, ""), 1), (Report(4, "x"), 600), (Report(5, "x"), 1), (Report(0, "x"), 601))
    >>> [is_over(Wait("a", "v1", "k3s", 600), *each) for each in cases]
    [True, False, True, True]
    """
    return not found.lacks or found.exits >= EXITS or waited > wait.timeout


def failure(wait: Wait, found: Report, waited: int, journal: Sequence[str]) -> list[str]:
    """Return why the node is not Ready, and what k3s says of it.

    >>> failure(Wait("a", "v1", "k3s", 600), Report(5, "it has not registered yet"), 20, ["no default route"])[0]
    'Node a did not become Ready with v1 within 20 seconds: k3s exited 5 times. Fix the cause and run again. Output of journalctl -u k3s:'
    >>> failure(Wait("a", "v1", "k3s", 600), Report(0, "it has not registered yet"), 601, [])
    ['Node a did not become Ready with v1 within 601 seconds: it has not registered yet. Fix the cause and run again. Output of journalctl -u k3s:']
    """
    cause = f"k3s exited {found.exits} times" if found.exits >= EXITS else found.lacks
    told = f"Node {wait.node} did not become Ready with {wait.version} within {waited} seconds: {cause}. Fix the cause and run again."
    return [f"{told} Output of journalctl -u {wait.unit}:", *journal]
