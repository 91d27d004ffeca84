"""Runs modules in this process, as they run on a host, but without starting Ansible."""
from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.testing import patch_module_args
from harness import Stack

from ansible_collections.mlops.mlflow.plugins.module_utils import _options
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.kinds import KINDS
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import Connection, RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile import run_declaration


class Ended(Exception):
    """What ``exit_json`` and ``fail_json`` do here; the result is its argument."""


@dataclass
class Module:
    """The part of AnsibleModule that the engine uses."""

    params: Mapping[str, Any]
    check_mode: bool = False

    def exit_json(self, **result: Any) -> None:
        raise Ended(result)

    def fail_json(self, **result: Any) -> None:
        raise Ended({"failed": True, **result})


def resources(stack: Stack, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    """Return the result of mlflow_resources. Raises the errors that a module turns into messages."""
    spec = {**run_declaration.argument_spec(KINDS), "kinds": {"type": "list", "default": list(KINDS)}}
    given = {"state": "present", "prune": [], "prune_limit": 100, "connections": 4, "portable": False, **options}
    validated = ArgumentSpecValidator({**{name: {"type": "raw"} for name in given}, **spec}).validate(given)
    assert not validated.error_messages
    module = Module(validated.validated_parameters, check_mode)
    connection = Connection(stack.tracking_uri, stack.tracking_username or None, stack.tracking_password or None)
    try:
        run_declaration.run(module, KINDS, lambda: RestClient(connection))  # type: ignore[arg-type]
    except Ended as ended:
        result: dict[str, Any] = ended.args[0]
        return result


def validate(section: str, entry: dict[str, Any]) -> None:
    """Check an entry against the kind's rules, without a server."""
    kind = KINDS[section]
    spec = ArgumentSpecValidator({section: {"type": "list", "elements": "dict", "options": kind.rules.OPTIONS}}).validate({section: [entry]})
    assert not spec.error_messages
    (validated,) = spec.validated_parameters[section]
    _options.check(kind.rules.OPTIONS, validated)
    kind.rules.check_options(validated)


def main(module: str, args: Mapping[str, Any], check_mode: bool = False) -> dict[str, Any]:
    """Return what a module prints, run by its own ``main``, but in this process. Raises whatever a module must not raise."""
    # Where it is imported, modules read their options as on a control node, which takes fewer texts.
    assert "ansible._internal" not in sys.modules, "a test file imports Ansible's control node; let it do so in a test, or a process of its own"
    imported = importlib.import_module(f"ansible_collections.mlops.mlflow.plugins.modules.{module}")
    given = {**args, "_ansible_check_mode": check_mode, "_ansible_module_name": module}
    with patch_module_args(given), redirect_stdout(io.StringIO()) as printed, suppress(SystemExit):
        imported.main()
    result: dict[str, Any] = json.loads(printed.getvalue())
    return result
