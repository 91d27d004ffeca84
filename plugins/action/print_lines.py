# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints lines as they are. ansible.builtin.debug prints them as YAML or JSON, which escapes quotes and breaks long lines of commands."""
from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class ActionModule(ActionBase):
    """Prints on the control node, and contacts no host."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Print the lines. Raises AnsibleActionFail without a list of them."""
        super().run(tmp, task_vars)
        lines = self._task.args.get("lines")
        if not isinstance(lines, list) or set(self._task.args) != {"lines"}:
            raise AnsibleActionFail("lines: it is not a list, or not the only option; give a list of lines")
        for line in lines:
            Display().display(str(line))
        return {"changed": False, "lines": lines}
