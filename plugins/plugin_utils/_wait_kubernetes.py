# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Waiting for rollouts by action plugins: the module is called for a few seconds at a time, and the progress is shown."""
from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

#: The maximum duration of one module call in seconds, after which progress is shown.
INTERVAL = 15
#: The maximum length of a line.
WIDTH = 240


def rolled_out(
    call: Callable[[dict[str, Any]], dict[str, Any]], options: Mapping[str, Any], host: str, show: Callable[[str], Any]
) -> dict[str, Any]:
    """Return the module's last result, which fails if a rollout does. A line is shown after each call."""
    arguments = {**options, "interval": INTERVAL, "waited": 0}
    restarted: list[str] = []
    while True:
        result = call(arguments)
        restarted += result.get("restarted", [])
        if result.get("failed"):
            return result
        if not result.get("pending"):
            return {**result, "restarted": restarted, "changed": bool(restarted)}
        arguments["waited"] = result["waited"]
        limit = result["invocation"]["module_args"]["timeout"]
        show(textwrap.shorten(f"waiting: [{host}] {result['waited']} of {limit} s, {result['pending']}", WIDTH, placeholder=" …"))
