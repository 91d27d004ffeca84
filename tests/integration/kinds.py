"""Do in this process what a kind's module does, for tests that are not about the module itself."""
from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._module import carry_out, plan_step
from ansible_collections.mlops.mlflow.plugins.module_utils._ports import Kind, Plan, State, Step


def step_of(client: RestClient, kind: Kind, options: Mapping[str, Any]) -> Step:
    """The step that the module would take; options that are not given have their defaults."""
    params: Mapping[str, Any] = {name: options.get(name, spec.get("default")) for name, spec in kind.rules.OPTIONS.items()}
    kind.rules.check_options(params)
    if kind.resolved:
        params = kind.resolved(client, params)
    name = " ".join(kind.rules.identity(params))
    return Step(kind.rules.LABEL, name, kind.adapter(client, params), partial(kind.rules.desired_state, params))


def foresee(client: RestClient, kind: Kind, /, **options: Any) -> Plan:
    """What check mode plans for the resource."""
    return plan_step(step_of(client, kind, options))


def bring(client: RestClient, kind: Kind, /, **options: Any) -> Plan:
    """What was planned for the resource, and done."""
    step = step_of(client, kind, options)
    plan = plan_step(step)
    carry_out(step, plan)
    return plan


def settled(client: RestClient, kind: Kind, /, **options: Any) -> State:
    """The state of the resource after it was brought to ``options``.

    Holds that it is what was predicted, that a second time changes nothing, and that a listing says the same.
    """
    plan = bring(client, kind, **options)
    assert bring(client, kind, **options).is_empty
    state = step_of(client, kind, options).resource.read()
    assert state is not None
    shown = [{key: value for key, value in (some or {}).items() if key not in kind.adapter.read_only} for some in (plan.after, state)]
    assert shown[0] == shown[1]
    assert [entry for entry in kind.adapter.find(client, {}) if kind.rules.identity(entry) == kind.rules.identity(state)] == [state]
    return state
