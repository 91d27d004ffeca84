# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at the embedded stack in one call, and says what stands in its way before anything is changed."""
from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import embedded_stack, supervised_process

ROLES = Path(__file__).resolve().parents[2] / "roles"
#: Checks the environment ($1 is environment.sh), then looks with what it found; the program that looks comes on standard input.
LOOK = 'sh -c "$1" environment.sh check "$2" "$3" python3 </dev/null >/dev/null 2>&1; status=$?; exec "$4" - look "$5" "$status"'


class Refused(Exception):
    """What stands in the way, with the remedy."""


class ActionModule(ActionBase):
    """Reads the role's own variables, since the default of ``embedded_home`` depends on the user, whom it looks up first where it must."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what was found, or fail with what stands in the way."""
        super().run(tmp, task_vars)
        self._variables = dict(task_vars or {})
        try:
            return {"changed": False, **self._found()}
        except Refused as error:
            return {"changed": False, "failed": True, "msg": str(error)}

    def _found(self) -> dict[str, Any]:
        home = self._home()
        _refuse(embedded_stack.problem_of_variables(home, str(self._value("embedded_user"))))
        requirements = self._requirements()
        pins = requirements.read_text()
        # The roles mlflow_backup and mlflow_rotation say so.
        restores, rotates = (boolean(self._variables.get(name, False)) for name in ("__embedded_restores", "__embedded_rotates"))
        fresh_start = boolean(self._value("embedded_fresh_start"))
        wanted = embedded_stack.Wanted(home, pins, str(self._value("embedded_service")), fresh_start, restores, rotates)
        # Named as the role python_env names it.
        mark = f"{home}/venv/.holds-{hashlib.sha1(pins.rstrip().encode()).hexdigest()}"
        script = (ROLES / "python_env/files/environment.sh").read_text()
        found = self._run(["sh", "-c", LOOK, "sh", script, f"{home}/venv", mark, self._python(), home])
        _refuse(embedded_stack.problem(wanted, found))
        log_max_bytes, log_backups = str(self._value("embedded_log_max_bytes")), int(self._value("embedded_log_backups"))
        configuration = supervised_process.supervisor_configuration(home, log_max_bytes, log_backups)
        is_configured = found["supervisor_configuration"] == hashlib.sha256(configuration.encode()).hexdigest()
        has_packages = found["environment"] == 0
        return {
            "ansible_facts": {f"ansible_{name}": value for name, value in found["user"].items()},
            "found": {**found, "is_supervised": embedded_stack.is_supervised(found)},
            "requirements": str(requirements),
            "needs_work": embedded_stack.needs_work(wanted, found, has_packages, is_configured),
            "lacks_folders": not set(embedded_stack.FOLDERS) <= set(found["entries"]),
            "folders": list(embedded_stack.FOLDERS),
            "supervisor_configuration": configuration,
            "mlflow_version": wanted.mlflow_version,
            "has_packages": has_packages,
            # The environment works, with these packages or others.
            "is_installed": found["environment"] in (0, 3),
            "packages": mark,
        }

    def _home(self) -> str:
        home = str(self._value("embedded_home"))
        if not home:
            user = self._run([self._python(), "-", "user"])
            self._variables["ansible_facts"] = {**self._variables.get("ansible_facts", {}), **user}
            home = str(self._value("embedded_home"))
        return home

    def _value(self, name: str) -> Any:
        return self._templar.copy_with_new_env(available_variables=self._variables).template(self._variables[name])

    def _requirements(self) -> Path:
        given, version = str(self._value("embedded_requirements")), str(self._value("embedded_mlflow_version"))
        requirements = Path(given or ROLES / "embedded/files" / f"requirements-{version}.txt")
        if not requirements.is_file():
            lack = f"there is no file {given}" if given else "the role has no list of packages for it"
            remedy = "use a version that it has (3.17.2, 3.16.1), or set embedded_requirements to your own file"
            raise Refused(f"embedded_mlflow_version {version}: {lack}; {remedy}")
        return requirements

    def _python(self) -> str:
        named = str(self._value("ansible_python_interpreter")) if "ansible_python_interpreter" in self._variables else "auto"
        return "python3" if named.startswith("auto") else named

    def _run(self, command: list[str]) -> dict[str, Any]:
        """Run a command on the host, in check mode too, with stack.py as its standard input; what it prints as JSON."""
        arguments = {"argv": command, "stdin": (ROLES / "embedded/files/stack.py").read_text()}
        check, self._task.check_mode = self._task.check_mode, False
        try:
            done = self._execute_module("ansible.builtin.command", module_args=arguments, task_vars=self._variables)
        finally:
            self._task.check_mode = check
        try:
            return dict(json.loads(done["stdout"]))
        except (KeyError, ValueError):
            reason = str(done.get("stderr") or done.get("msg") or done)
            raise Refused(f"embedded_home: this host cannot be looked at: {reason}") from None


def _refuse(problem: str) -> None:
    if problem:
        raise Refused(problem)
