# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubernetes.core.k8s_info, which survives a restart of the API server, and says in one sentence if it is gone for longer."""
from __future__ import annotations

from functools import partial
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.apply_result import unreachable
from ansible_collections.mlops.mlflow.plugins.plugin_utils._retry_kubernetes import persistent


class ActionModule(ActionBase):
    """Takes the options of kubernetes.core.k8s_info, and returns what it returns."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        call = partial(self._execute_module, module_name="kubernetes.core.k8s_info", module_args=arguments, task_vars=task_vars)
        found = persistent(call, str(arguments.get("kubeconfig") or ""), bool(self._task.check_mode))
        # There is nothing to hide in a failure to reach the API server.
        self._task.no_log = self._task.no_log and not unreachable(found, "")
        return found
