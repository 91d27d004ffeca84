# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The workflow that all modules share: read, plan, apply unless in check mode, report. Only this file exits a module."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, NoReturn

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.mlops.mlflow.plugins.module_utils import _options
from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Misdeclared, MissingLibrary, ServerError, Unreachable, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind, Step
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ImmutableField, Plan, State, title
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.step import carry_out, plan_step


class Module(AnsibleModule):
    """An AnsibleModule whose reported ``invocation`` contains only known options without secrets.

    Values of misspelt options and credentials in URLs may be secrets, and declarations may be long, so none of them is shown.
    """

    def __init__(self, argument_spec: dict[str, dict[str, Any]], **more: Any) -> None:
        super().__init__(argument_spec=argument_spec, **more)  # type: ignore[no-untyped-call]
        # Entries of a declaration are checked later, when they can be named.
        try:
            _options.check({name: option for name, option in argument_spec.items() if "options" not in option}, self.params)
        except InvalidOption as error:
            self.fail_json(msg=str(error))

    def exit_json(self, **result: Any) -> NoReturn:
        """Exit the module with ``result``."""
        super().exit_json(**{"invocation": self._invocation(), **result})
        raise AssertionError  # for the type checker: the line above exits the process

    def fail_json(self, msg: str, **result: Any) -> NoReturn:
        """Fail the module."""
        super().fail_json(msg, **{"invocation": self._invocation(), **result})
        raise AssertionError

    def _log_invocation(self) -> None:
        # ansible-core fails on a lone surrogate here, before the option can be checked.
        encodable = {name: _options.encodable(value) for name, value in self._invocation()["module_args"].items()}
        params, self.params = self.params, encodable
        try:
            super()._log_invocation()  # type: ignore[no-untyped-call]
        finally:
            self.params = params

    def _invocation(self) -> dict[str, Any]:
        return {"module_args": _options.shown(self.argument_spec, self.params)}


@contextmanager
def errors_as_failures(module: AnsibleModule, more: Callable[[Exception], dict[str, Any]] = lambda error: {}) -> Iterator[None]:
    """Turn expected errors into a ``fail_json`` with an actionable message, and with the further results that ``more`` returns for the error."""
    try:
        yield
    except (ImmutableField, InvalidOption, Refused, ServerError) as error:
        fail(module, error, **more(error))


def fail(module: AnsibleModule, error: Exception, **more: Any) -> NoReturn:
    """Fail the module with the error's message."""
    if isinstance(error, MissingLibrary):
        module.fail_json(msg=missing_required_lib(error.library), exception=error.reason, **more)
    if isinstance(error, Misdeclared):
        more["entry"] = {"list": error.section, "number": error.number}
    module.fail_json(msg=str(error), **more)


def reachable(error: Exception) -> dict[str, Any]:
    """Whether the server was reached, or at least could have been asked."""
    return {"reachable": not isinstance(error, (MissingLibrary, Unreachable, Unsupported))}


def manage(module: AnsibleModule, kind: Kind, client: Any) -> NoReturn:
    """Bring the resource that the module's options describe to the desired state, and exit the module."""
    params, rules = module.params, kind.rules
    _options.check(rules.OPTIONS, params)
    rules.check_options(params)
    if kind.resolved:
        params = kind.resolved(client, params)
    resource = kind.resource(client, params)
    step = Step(rules.LABEL, title(rules.identity(params)), resource, partial(rules.desired_state, params))
    result, (state,) = reconcile(module, [step])
    state = {} if params["state"] == "absent" else state
    more = kind.finish(resource, state) if kind.finish and state and not module.check_mode else {}
    module.exit_json(**{rules.LABEL.replace(" ", "_"): state}, **result, **more)


def inform(module: AnsibleModule, kind: Kind, client: Any) -> NoReturn:
    """Exit the module with the resources that its options select. An empty string is a name that matches nothing, not a missing option."""
    _options.refuse_empty(module.params, [name for name, option in kind.selectors.items() if name != "filter" and "choices" not in option])
    module.exit_json(changed=False, **{kind.section: kind.selected(client, module.params)})


def reconcile(module: AnsibleModule, steps: Sequence[Step], warnings: Sequence[str] = ()) -> tuple[dict[str, Any], list[State]]:
    """Bring each step's resource to its desired state, in order.

    Returns the result for ``exit_json`` (``changed``, ``actions``, ``diff``) and, for each step, the state that
    the resource has now or, in check mode, would have; ``{}`` if it does not exist.
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


def _carried_out(step: Step, plan: Plan) -> State | None:
    """Apply the plan, and return the resulting state."""
    done = carry_out(step, plan)
    return done.after if done.is_empty or done.action == "delete" else step.resource.read()


def _diff(step: Step, plan: Plan) -> dict[str, Any]:
    header = f"{step.kind} {step.name}"
    before, after = (
        {key: value for key, value in (state or {}).items() if key not in step.resource.read_only} for state in (plan.before, plan.after)
    )
    return {"before_header": header, "after_header": header, "before": before, "after": after}
