# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""One resource at a time: read, plan, check, and apply until it is as desired."""
from __future__ import annotations

from typing import Callable

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Conflict
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Step
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan, make_plan

#: How often a step is read and planned again after a conflicting write or an interrupted connection.
ATTEMPTS = 4


def plan_step(step: Step) -> Plan:
    """Return a plan for the current state of the resource, checked by the server's adapter."""
    current = step.resource.read()
    plan = make_plan(current, step.desired(current), step.resource.immutable)
    if not plan.is_empty:
        step.resource.check(plan)
    return plan


def carry_out(step: Step, plan: Plan, part: Callable[[Plan], Plan] = lambda plan: plan) -> Plan:
    """Apply ``part`` of the plan, reading and planning again after each conflict. Returns what was applied last."""
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
