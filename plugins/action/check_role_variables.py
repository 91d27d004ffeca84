# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the variables of all hosts of a play against the argument specs of this collection's roles, on the control node alone."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.mlops.mlflow.plugins.module_utils import _role_variables

ROLES = Path(__file__).resolve().parents[2] / "roles"


class ActionModule(ActionBase):
    """Does for all hosts at once what Ansible's own validation does later for one role and one host, in one sentence for each problem."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail if a variable is unknown or has a value that its role does not take."""
        super().run(tmp, task_vars)
        here = task_vars or {}
        roles = {
            path.parents[1].name: _role_variables.options(self._loader.load_from_file(str(path))["argument_specs"])
            for path in sorted(ROLES.glob("*/meta/argument_specs.yml"))
        }
        hosts: dict[str, list[str]] = {}
        everyone = list(here.get("ansible_play_hosts") or [here["inventory_hostname"]])
        for host in everyone:
            variables = here if host == here["inventory_hostname"] else {**here, **here["hostvars"].raw_get(host)}
            for problem in _role_variables.problems(self._values(variables, roles), roles):
                hosts.setdefault(problem, []).append(host)
        found = [problem if len(named) == len(everyone) else f"{', '.join(named)}: {problem}" for problem, named in hosts.items()]
        return {"failed": bool(found), "changed": False, "msg": "\n".join(found) or "All variables are known, and have values of their types"}

    def _values(self, variables: dict[str, Any], roles: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Return the variables that may be meant for a role, rendered where their value matters and they can be rendered now."""
        known = {name: option for options in roles.values() for name, option in options.items()}
        templar = self._templar.copy_with_new_env(available_variables=variables)
        values: dict[str, Any] = {}
        for name in [name for name in variables if name in known or _role_variables.is_of_interest(name, roles)]:
            values[name] = variables[name]
            if _role_variables.is_checked(known.get(name), variables[name]):
                try:
                    values[name] = templar.template(variables[name])
                except AnsibleError:
                    values[name] = _role_variables.UNKNOWN
        return values
