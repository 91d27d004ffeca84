"""Sending many things in one request, where the server refuses the whole of it for one of them. No I/O of its own."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def send_all(
    items: Sequence[Item], name_of: Callable[[Item], str], send: Callable[[Sequence[Item]], object], refuses: Callable[[Exception], bool]
) -> dict[str, Exception]:
    """Send ``items``, in ever smaller halves where one of them is refused; gives each refused name with the reason.

    Items of one name share its fate once one of them was refused alone. An error of ``send`` of which ``refuses`` is false, such as an outage, is
    raised; halves before it have been sent.

    >>> def send(part):
    ...     if "b" in part:
    ...         raise ValueError("b is refused")
    ...     print(*part)
    >>> list(send_all(["a", "b", "c", "d", "b"], str, send, lambda error: isinstance(error, ValueError)))
    a
    c d
    ['b']
    """
    refused: dict[str, Exception] = {}
    waiting = [list(items)]
    while waiting:
        part = [item for item in waiting.pop() if name_of(item) not in refused]
        if not part:
            continue
        try:
            send(part)
        except Exception as error:
            if not refuses(error):
                raise
            if len(part) == 1:
                refused[name_of(part[0])] = error
            else:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
    return refused
