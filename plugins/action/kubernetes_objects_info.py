# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node's part of kubernetes_objects_info, whose failures contain nothing to hide."""
from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Takes the options of the module, and returns what it returns."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        super().run(tmp, task_vars)
        found: dict[str, Any] = self._execute_module(
            module_name="mlops.mlflow.kubernetes_objects_info", module_args=dict(self._task.args), task_vars=task_vars
        )
        self._task.no_log = self._task.no_log and not found.get("failed")
        return found
