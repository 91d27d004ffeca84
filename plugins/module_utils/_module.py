# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What every module does: read, plan, apply unless in check mode, report. The only place that ends a module."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, NoReturn

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.mlops.mlflow.plugins.module_utils._core.options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._core.plan import ImmutableField, Plan, make_plan, title
from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Conflict, MissingLibrary, ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._ports import Kind, State, Step

#: How often a step is read and planned anew after another writer, or a cut connection, got in between.
ATTEMPTS = 4


@contextmanager
def errors_as_failures(module: AnsibleModule) -> Iterator[None]:
    """Turn every foreseen error into one ``fail_json`` with a message that says what to do."""
    try:
        yield
    except (ImmutableField, InvalidOption, Refused, ServerError) as error:
        fail(module, error)


def fail(module: AnsibleModule, error: Exception) -> NoReturn:
    """End the module with the error's own words."""
    if isinstance(error, MissingLibrary):
        module.fail_json(msg=missing_required_lib(error.library), exception=error.reason)
    module.fail_json(msg=str(error))


def manage(module: AnsibleModule, kind: Kind, client: Any, finish: Callable[[State], dict[str, Any]] = lambda state: {}) -> NoReturn:
    """Bring the one resource that the module's options name to what they ask for, and end the module.

    ``finish`` takes the state of a resource that is there and gives more of the result; it is not called in check mode.
    """
    params, rules = module.params, kind.rules
    rules.check_options(params)
    if kind.resolved:
        params = kind.resolved(client, params)
    step = Step(rules.LABEL, title(rules.identity(params)), kind.adapter(client, params), partial(rules.desired_state, params))
    result, (state,) = reconcile(module, [step])
    state = {} if params["state"] == "absent" else state
    more = finish(state) if state and not module.check_mode else {}
    module.exit_json(**{rules.LABEL.replace(" ", "_"): state}, **result, **more)


def inform(module: AnsibleModule, kind: Kind, client: Any) -> NoReturn:
    """End the module with the resources that its options leave."""
    module.exit_json(changed=False, **{kind.section: list(kind.adapter.find(client, module.params))})


def reconcile(module: AnsibleModule, steps: Sequence[Step], warnings: Sequence[str] = ()) -> tuple[dict[str, Any], list[State]]:
    """Bring each step's resource to its desired state, in order.

    Returns the result for ``exit_json`` (``changed``, ``actions``, ``diff``) and, a step each, the state that
    the resource has now, or would have outside check mode; ``{}`` where it does not exist.
    """
    plans = [plan_step(step) for step in steps]
    states = [plan.after for plan in plans]
    if not module.check_mode:
        states = [_carried_out(step, plan) for step, plan in zip(steps, plans)]
    for warning in warnings:
        module.warn(warning)
    touched = [(step, plan) for step, plan in zip(steps, plans) if not plan.is_empty]
    result = {
        "changed": bool(touched),
        "actions": [line for step, plan in touched for line in plan.lines(step.kind, step.name)],
        "diff": [_diff(step, plan) for step, plan in touched],
    }
    return result, [state or {} for state in states]


def plan_step(step: Step) -> Plan:
    """The plan for the resource as it is now, which the server can carry out."""
    current = step.resource.read()
    plan = make_plan(current, step.desired(current), step.resource.immutable)
    if not plan.is_empty:
        step.resource.check(plan)
    return plan


def carry_out(step: Step, plan: Plan, part: Callable[[Plan], Plan] = lambda plan: plan) -> Plan:
    """Apply ``part`` of the plan, again from a fresh reading after each conflict. Returns what was applied last."""
    doing, attempt = part(plan), 0
    while not doing.is_empty:
        try:
            step.resource.apply(doing)
            break
        except Conflict:
            attempt += 1
            if attempt == ATTEMPTS:
                raise
            doing = part(plan_step(step))
    return doing


def _carried_out(step: Step, plan: Plan) -> State | None:
    """Apply the plan; the state that the resource has then."""
    done = carry_out(step, plan)
    return done.after if done.is_empty or done.action == "delete" else step.resource.read()


def _diff(step: Step, plan: Plan) -> dict[str, Any]:
    header = f"{step.kind} {step.name}"
    before, after = (
        {key: value for key, value in (state or {}).items() if key not in step.resource.read_only} for state in (plan.before, plan.after)
    )
    return {"before_header": header, "after_header": header, "before": before, "after": after}
