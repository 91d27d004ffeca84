"""Runs what a kind's module does in this process, for tests that are not about the module itself."""
from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind, Step
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan, State
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.step import carry_out, plan_step


def step_of(client: RestClient, kind: Kind, options: Mapping[str, Any]) -> Step:
    """Return the module's step; options that are not given have their defaults."""
    params: Mapping[str, Any] = {name: options.get(name, spec.get("default")) for name, spec in kind.rules.OPTIONS.items()}
    kind.rules.check_options(params)
    if kind.resolved:
        params = kind.resolved(client, params)
    name = " ".join(kind.rules.identity(params))
    return Step(kind.rules.LABEL, name, kind.resource(client, params), partial(kind.rules.desired_state, params))


def foresee(client: RestClient, kind: Kind, /, **options: Any) -> Plan:
    """Return what check mode plans for the resource."""
    return plan_step(step_of(client, kind, options))


def bring(client: RestClient, kind: Kind, /, **options: Any) -> Plan:
    """Apply the resource, and return its plan."""
    step = step_of(client, kind, options)
    plan = plan_step(step)
    carry_out(step, plan)
    return plan


def settled(client: RestClient, kind: Kind, /, **options: Any) -> State:
    """The state of the resource after it was brought to ``options``.

    Asserts that it is as predicted, that a second run changes nothing, and that a listing agrees.
    """
    plan = bring(client, kind, **options)
    assert bring(client, kind, **options).is_empty
    state = step_of(client, kind, options).resource.read()
    assert state is not None
    shown = [{key: value for key, value in (some or {}).items() if key not in kind.adapter.read_only} for some in (plan.after, state)]
    assert shown[0] == shown[1]
    assert [entry for entry in kind.adapter.find(client, {}) if kind.rules.identity(entry) == kind.rules.identity(state)] == [state]
    return state
