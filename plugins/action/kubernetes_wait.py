# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node's part of kubernetes_wait: calls the module for a few seconds at a time, and shows the progress."""
from __future__ import annotations

import textwrap
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

#: The maximum duration of one module call in seconds, after which progress is shown.
INTERVAL = 15
#: The maximum length of a line.
WIDTH = 240


class ActionModule(ActionBase):
    """Waits in intervals, and prints a line after each."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's last result."""
        super().run(tmp, task_vars)
        display, host = Display(), (task_vars or {}).get("inventory_hostname", "")
        arguments = {**self._task.args, "interval": INTERVAL, "waited": 0}
        restarted: list[str] = []
        while True:
            result: dict[str, Any] = self._execute_module(
                module_name="mlops.mlflow.kubernetes_wait", module_args=arguments, task_vars=task_vars
            )
            restarted += result.get("restarted", [])
            if result.get("failed"):
                return result
            if not result.get("pending"):
                return {**result, "restarted": restarted, "changed": bool(restarted)}
            arguments["waited"] = result["waited"]
            limit = result["invocation"]["module_args"]["timeout"]
            display.display(textwrap.shorten(f"waiting: [{host}] {result['waited']} of {limit} s, {result['pending']}", WIDTH, placeholder=" …"))
