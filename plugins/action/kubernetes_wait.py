# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control node's part of kubernetes_wait: calls the module for a few seconds at a time, and shows the progress."""
from __future__ import annotations

from functools import partial
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mlops.mlflow.plugins.plugin_utils._wait_kubernetes import rolled_out


class ActionModule(ActionBase):
    """Waits in intervals, and prints a line after each."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's last result."""
        super().run(tmp, task_vars)
        call = partial(self._execute_module, "mlops.mlflow.kubernetes_wait", task_vars=task_vars)
        host = (task_vars or {}).get("inventory_hostname", "")
        return rolled_out(lambda arguments: call(module_args=arguments), self._task.args, host, Display().display)
