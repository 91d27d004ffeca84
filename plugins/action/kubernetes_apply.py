# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies a set of Kubernetes objects by kubernetes.core.k8s, which by itself shows no diff of a set, and all of a Secret's."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.mlops.mlflow.plugins.module_utils._core import applied
from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption

OPTIONS = ("kubeconfig", "namespace", "definitions", "absent")
#: The name under which the fields that are applied are this collection's.
FIELD_MANAGER = "mlops.mlflow"
#: How an earlier Job is removed: with its pods, before another takes its name.
AWAY = {"state": "absent", "wait": True, "wait_timeout": 120, "delete_options": {"propagationPolicy": "Foreground"}}


class ActionModule(ActionBase):
    """Server-side apply of the Secrets, of the others, of the Jobs in place of earlier ones, then removal: each one call of kubernetes.core.k8s."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """What was changed, and the objects as they are. Raises AnsibleActionFail for an option that is none."""
        super().run(tmp, task_vars)
        unknown = self._task.args.keys() - set(OPTIONS)
        if unknown:
            raise AnsibleActionFail(f"{', '.join(sorted(unknown))}: no option of kubernetes_apply; use {', '.join(OPTIONS)}")
        try:
            secrets, jobs, others = applied.parted(applied.definitions(self._task.args.get("definitions") or []))
            gone = applied.absent(self._task.args.get("absent") or [])
        except InvalidOption as error:
            raise AnsibleActionFail(str(error)) from None
        server_side = {"apply": True, "server_side_apply": {"field_manager": FIELD_MANAGER, "force_conflicts": True}}
        steps: list[tuple[Sequence[Mapping[str, Any]], dict[str, Any], bool]] = [
            (secrets, server_side, True),
            (others, server_side, False),
            ([] if self._task.check_mode else [applied.named(job) for job in jobs], AWAY, False),
            ([] if self._task.check_mode else jobs, server_side, False),
            (gone, {"state": "absent", "continue_on_error": True}, False),
        ]
        found: list[applied.Outcome] = []
        for objects, more, is_secret in steps:
            result = self._called(objects, more, is_secret, task_vars) if objects else {}
            if result.get("failed"):
                return {"failed": True, "msg": applied.refusal(result), **applied.summary(found)}
            found += applied.outcomes(objects, result) if more is not AWAY else []
        # The API server would compare it with the one that a run removes.
        found += [applied.made(job) for job in jobs if self._task.check_mode]
        return applied.summary(found)

    def _called(
        self, objects: Sequence[Mapping[str, Any]], more: Mapping[str, Any], is_secret: bool, task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        """The module's result, which says what differs in diff mode alone. What is hidden is not logged on the host either."""
        was = (self._task.no_log, self._task.diff)
        try:
            self._task.no_log, self._task.diff = was[0] or is_secret, True
            connection = {name: self._task.args[name] for name in ("kubeconfig", "namespace") if self._task.args.get(name)}
            arguments = {**connection, "resource_definition": list(objects), **more}
            result: dict[str, Any] = self._execute_module(module_name="kubernetes.core.k8s", module_args=arguments, task_vars=task_vars)
        finally:
            self._task.no_log, self._task.diff = was
        return result
