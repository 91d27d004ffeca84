# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for a node of k3s: asks it for a few seconds at a time, shows the progress, and says in the end why it did not come up."""
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import k3s_wait

SCRIPTS = Path(__file__).resolve().parents[2] / "roles/k3s/files"
#: The maximum duration of one call in seconds, after which progress is shown.
INTERVAL = 10
OPTIONS = ("node", "version", "unit", "timeout", "kubectl", "kubeconfig", "began", "restarts")


class ActionModule(ActionBase):
    """Runs the role's scripts on the node itself, which may ask the API server for its own state."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what was waited for, or fail with the reason and k3s's journal. Raises AnsibleActionFail for other options."""
        super().run(tmp, task_vars)
        if set(self._task.args) != set(OPTIONS):
            raise AnsibleActionFail(f"k3s_wait takes the options {', '.join(OPTIONS)}, and no others")
        given = self._task.args
        wait = k3s_wait.Wait(given["node"], given["version"], given["unit"], int(given["timeout"]))
        seconds, moment = str(given["began"]).split()
        since = moment if given["restarts"] else ""
        asked = [given["kubectl"], given["kubeconfig"], wait.node, wait.version, since, str(INTERVAL), wait.unit]
        start, display, host = time.monotonic(), Display(), (task_vars or {}).get("inventory_hostname", "")
        while True:
            found, waited = k3s_wait.report(self._printed("wait.sh", asked, task_vars)), round(time.monotonic() - start)
            progress = k3s_wait.progress(wait, found, waited)
            display.display(f"waiting: [{host}] {progress}")
            if k3s_wait.is_over(wait, found, waited):
                break
        if not found.lacks:
            return {"changed": False, "msg": progress}
        journal = self._printed("journal.sh", [wait.unit, seconds], task_vars).splitlines()
        return {"changed": False, "failed": True, "msg": k3s_wait.failure(wait, found, waited, journal)}

    def _printed(self, script: str, arguments: list[str], task_vars: dict[str, Any] | None) -> str:
        """Return what one of the role's scripts prints on the host. Raises AnsibleActionFail if it cannot be run."""
        argv = ["sh", "-c", (SCRIPTS / script).read_text(), script, *arguments]
        done = self._execute_module(module_name="ansible.builtin.command", module_args={"argv": argv}, task_vars=task_vars)
        if done.get("rc") != 0:
            raise AnsibleActionFail(f"{script}: {done.get('stderr') or done.get('msg')}")
        return str(done["stdout"])
