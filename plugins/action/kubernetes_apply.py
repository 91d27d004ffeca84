# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies a set of Kubernetes objects with kubernetes.core.k8s, which itself shows no diff of a set, but the values of Secrets."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes import apply_result, ownership, patches
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.plugin_utils._retry_kubernetes import persistent
from ansible_collections.mlops.mlflow.plugins.plugin_utils._wait_kubernetes import rolled_out

OPTIONS = (
    "kubeconfig", "namespace", "deployment", "adopt", "labels", "annotations", "patches", "definitions", "merged", "absent", "checked", "rollouts",
    "timeout",
)  # fmt: skip
#: How an object is removed: in the foreground, so that its dependents are gone before its name or its volume is reused. The module waits for
#: one object after another, so that of several, all are told to go first.
TOLD = {"state": "absent", "wait": False, "delete_options": {"propagationPolicy": "Foreground"}}
AWAY = {**TOLD, "wait": True, "wait_sleep": 1, "wait_timeout": 180}
WAITED_FOR = {**AWAY, "continue_on_error": True}


class ActionModule(ActionBase):
    """Checks ownership, then applies Secrets, other objects and Jobs (replacing earlier ones) server-side, removes objects, and waits for rollouts.

    Each of these is one module call. Conflicts are forced only for objects that were already the deployment's own, and never for what is merged.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what was changed, and the objects as they are. Raises AnsibleActionFail for an unknown option."""
        super().run(tmp, task_vars)
        unknown = self._task.args.keys() - set(OPTIONS)
        if unknown:
            raise AnsibleActionFail(f"{', '.join(sorted(unknown))}: not an option of kubernetes_apply; use {', '.join(OPTIONS)}")
        try:
            wanted = apply_result.definitions(self._extended(apply_result.definitions(self._task.args.get("definitions") or [])))
            merged = apply_result.definitions(self._task.args.get("merged") or [])
            gone, unmerged = (apply_result.absent(self._task.args.get("absent") or [], is_merged) for is_merged in (False, True))
            deployment = apply_result.deployment(self._task.args)
        except InvalidOption as error:
            raise AnsibleActionFail(str(error)) from None
        claims = [
            *(apply_result.claim(each, True) for each in wanted), *(apply_result.claim(each, False) for each in gone),
            *(apply_result.claim(each, False, merged=True) for each in [*merged, *unmerged]),
        ]  # fmt: skip
        # Where all are there, and none of those to be removed, a check of the whole run has said whose they are.
        known = apply_result.known(self._task.args.get("checked") or {}, wanted, gone, [*merged, *unmerged])
        looked = {"there": known, "alone": []} if known is not None else self._looked(claims, deployment, task_vars)
        if looked.get("failed"):
            return {"failed": True, "msg": looked.get("msg", ""), **apply_result.summary([])}
        there = set(looked["there"])
        secrets, jobs, others = apply_result.parted([ownership.marked(definition, deployment) for definition in wanted])
        withdrawn = [each for each in unmerged if apply_result.key(each) in there.difference(looked["alone"])]
        gone = [each for each in [*gone, *unmerged] if apply_result.key(each) in there and each not in withdrawn]
        own = ownership.manager(deployment)
        steps: list[tuple[Sequence[Mapping[str, Any]], dict[str, Any], bool]] = [
            *((part, _apply(force), True) for part, force in apply_result.by_presence(secrets, there)),
            *((part, _apply(force), False) for part, force in apply_result.by_presence(others, there)),
            (merged, _apply(False, own), False),
            ([] if self._task.check_mode else [apply_result.named(job) for job in jobs], AWAY, False),
            ([] if self._task.check_mode else jobs, _apply(False), False),
            # What a manager no longer applies, the API server removes.
            (withdrawn, _apply(False, own), False),
            (gone, {**TOLD, "continue_on_error": True}, False),
            ([] if self._task.check_mode else gone, WAITED_FOR, False),
        ]
        found: list[apply_result.Outcome] = []
        for objects, more, is_secret in steps:
            result = self._called(objects, more, is_secret, task_vars) if objects else {}
            if result.get("failed"):
                of = f"{', '.join(map(apply_result.key, objects))}: " if objects is merged else ""
                return {"failed": True, "msg": f"{of}{apply_result.refusal(result)}", **apply_result.summary(found)}
            found += apply_result.outcomes(objects, result) if more not in (AWAY, WAITED_FOR) else []
        # The API server would compare it with the one that a run removes.
        found += [apply_result.made(job) for job in jobs if self._task.check_mode]
        result = apply_result.summary(found)
        return {**result, **self._waited(result, task_vars)}

    def _waited(self, applied: Mapping[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Return what waiting for the rollouts adds to the result."""
        rollouts = self._task.args.get("rollouts") or []
        if not rollouts:
            return {"restarted": [], "ready": []}
        options = {name: self._task.args[name] for name in ("kubeconfig", "namespace", "timeout") if self._task.args.get(name)}
        call = partial(self._execute_module, "mlops.mlflow.kubernetes_wait", task_vars=task_vars)
        host = (task_vars or {}).get("inventory_hostname", "")
        waited = rolled_out(lambda arguments: call(module_args=arguments), {**options, "rollouts": rollouts}, host, Display().display)
        if waited.get("failed"):
            return {"failed": True, "msg": waited.get("msg", "")}
        return {"restarted": waited["restarted"], "ready": waited["ready"], "changed": bool(applied["changed"] or waited["restarted"])}

    def _extended(self, wanted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the objects with what users add to them. Raises InvalidOption."""
        labels, annotations = self._task.args.get("labels") or {}, self._task.args.get("annotations") or {}
        changes: list[Mapping[str, Any]] = self._task.args.get("patches") or []
        patches.check_metadata(labels, annotations)
        patches.check_patches(changes)
        return [patches.extended(definition, labels, annotations, changes) for definition in wanted]

    def _looked(self, claims: Sequence[Mapping[str, Any]], deployment: str, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Return the result of kubernetes_preflight for the objects."""
        named = {name: self._task.args[name] for name in ("kubeconfig", "adopt") if self._task.args.get(name)}
        arguments = {
            **named,
            "namespace": self._task.args.get("namespace") or "default",
            "deployment": deployment,
            "claims": claims,
        }
        looked: dict[str, Any] = self._execute_module(
            module_name="mlops.mlflow.kubernetes_preflight", module_args=arguments, task_vars=task_vars
        )
        return looked

    def _called(
        self, objects: Sequence[Mapping[str, Any]], more: Mapping[str, Any], is_secret: bool, task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Return the module's result, which contains differences only in diff mode. Hidden values are not logged on the host either."""
        was = (self._task.no_log, self._task.diff)
        try:
            self._task.no_log, self._task.diff = was[0] or is_secret, True
            # The connection prints what a module returns at -vvv, unless its own context says no.
            self._play_context.no_log = self._connection._play_context.no_log = self._task.no_log
            connection = {name: self._task.args[name] for name in ("kubeconfig", "namespace") if self._task.args.get(name)}
            arguments = {**connection, "resource_definition": list(objects), **more}
            call = partial(self._execute_module, module_name="kubernetes.core.k8s", module_args=arguments, task_vars=task_vars)
            result = persistent(call, str(connection.get("kubeconfig") or ""), bool(self._task.check_mode))
        finally:
            self._task.no_log, self._task.diff = was
            self._play_context.no_log = self._connection._play_context.no_log = was[0]
        return result


def _apply(force: bool, manager: str = ownership.FIELD_MANAGER) -> dict[str, Any]:
    """Return the apply options: conflicts are forced for existing objects, so that this collection owns its fields."""
    return {"apply": True, "server_side_apply": {"field_manager": manager, "force_conflicts": force}}
