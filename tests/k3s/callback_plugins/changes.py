"""Writes down which tasks changed something on which host, so that what check mode said can be compared with what happened."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: changes
type: aggregate
short_description: Write down what changed
description: Appends a line of JSON to a file of the test hosts at the end of each playbook, with its name, whether it only checked, and what changed.
"""
# It goes with the hosts; without them nothing is written down.
CHANGES = Path("/var/tmp/mlops-mlflow-hosts/changes.jsonl")


class CallbackModule(CallbackBase):
    """One for each run of ansible-playbook."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "changes"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._playbook = ""
        self._changed: dict[str, list[str]] = {}

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Note which playbook runs."""
        self._playbook = str(playbook._file_name)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Note a task that changed something, a loop once."""
        if result.is_changed():
            self._changed.setdefault(result._host.get_name(), []).append(result._task.get_name())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write it down."""
        if CHANGES.parent.is_dir():
            said = {"playbook": self._playbook, "checked": context.CLIARGS.get("check", False), "changed": self._changed}
            with CHANGES.open("a", encoding="utf-8") as file:
                file.write(json.dumps(said) + "\n")
