# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What every module does: read, plan, apply unless in check mode, report. The only place that ends a module."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._core.plan import ImmutableField, Plan, make_plan
from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Conflict, MissingLibrary, ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._ports import Kind, State, Step

#: How often a step is read and planned anew after another writer, or a cut connection, got in between.
ATTEMPTS = 4


@contextmanager
def errors_as_failures(module: AnsibleModule) -> Iterator[None]:
    """Turn every foreseen error into one ``fail_json`` with a message that says what to do."""
    try:
        yield
    except (InvalidOption, Refused, ServerError) as error:
        fail(module, error)
    except ImmutableField as error:
        option = ".".join(error.change.path)
        module.fail_json(
            msg=f"{option}: cannot be changed from {error.change.before!r} to {error.change.after!r} once it exists; "
            "leave the option out, or remove the resource and create it again"
        )


def fail(module: AnsibleModule, error: Exception) -> NoReturn:
    """End the module with the error's own words."""
    if isinstance(error, MissingLibrary):
        module.fail_json(msg=missing_required_lib(error.library), exception=error.reason)
    module.fail_json(msg=str(error))


def manage(module: AnsibleModule, kind: Kind, client: Any) -> NoReturn:
    """Bring the one resource that the module's options name to what they ask for, and end the module."""
    params, rules = module.params, kind.rules
    rules.check_options(params)
    step = Step(rules.LABEL, " ".join(rules.identity(params)), kind.adapter(client, params), partial(rules.desired_state, params))
    result, (state,) = reconcile(module, [step])
    module.exit_json(**{rules.LABEL.replace(" ", "_"): {} if params["state"] == "absent" else state}, **result)


def inform(module: AnsibleModule, kind: Kind, client: Any) -> NoReturn:
    """End the module with the resources that its options leave."""
    module.exit_json(changed=False, **{kind.section: list(kind.adapter.find(client, module.params))})


def reconcile(module: AnsibleModule, steps: Sequence[Step], warnings: Sequence[str] = ()) -> tuple[dict[str, Any], list[State]]:
    """Bring each step's resource to its desired state, in order.

    Returns the result for ``exit_json`` (``changed``, ``actions``, ``diff``) and, a step each, the state that
    the resource has now, or would have outside check mode; ``{}`` where it does not exist.
    """
    plans = [_plan(step) for step in steps]
    if not module.check_mode:
        plans = [_carry_out(step, plan) for step, plan in zip(steps, plans)]
    for warning in warnings:
        module.warn(warning)
    touched = [(step, plan) for step, plan in zip(steps, plans) if not plan.is_empty]
    result = {
        "changed": bool(touched),
        "actions": [line for step, plan in touched for line in _actions(step, plan)],
        "diff": [_diff(step, plan) for step, plan in touched],
    }
    return result, [plan.after or {} for plan in plans]


def _plan(step: Step) -> Plan:
    current = step.resource.read()
    plan = make_plan(current, step.desired(current), step.resource.immutable)
    if not plan.is_empty:
        step.resource.check(plan)
    return plan


def _carry_out(step: Step, plan: Plan) -> Plan:
    """Apply the plan, again from a fresh reading after each conflict. Returns the first plan with the last ``after``."""
    first = plan
    for attempt in range(ATTEMPTS):
        if plan.is_empty:
            break
        try:
            step.resource.apply(plan)
            plan = replace(plan, after=None if plan.action == "delete" else step.resource.read())
            break
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
            plan = _plan(step)
    return replace(first, after=plan.after)


def _actions(step: Step, plan: Plan) -> Iterator[str]:
    if plan.action != "update":
        yield f"{plan.action} {step.kind} {step.name}"
        return
    for change in plan.changes:
        yield f"update {step.kind} {step.name} {'.'.join(change.path)}"


def _diff(step: Step, plan: Plan) -> dict[str, Any]:
    header = f"{step.kind} {step.name}"
    before, after = (
        {key: value for key, value in (state or {}).items() if key not in step.resource.read_only} for state in (plan.before, plan.after)
    )
    return {"before_header": header, "after_header": header, "before": before, "after": after}
