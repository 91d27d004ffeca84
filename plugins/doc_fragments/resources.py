# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of a declaration, generated from the documentation of the modules whose options their entries take."""
from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import yaml

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.kinds import KINDS

_MODULES = "ansible_collections.mlops.mlflow.plugins.modules"


def _list(section: str, module: str, documented: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The option ``section``: a list of the options of ``module``. References to the module's options become references to an entry's."""
    options = {name: option for name, option in documented.items() if name in names}
    text = yaml.safe_dump(options, sort_keys=False, width=10**6, allow_unicode=True)
    for name in documented:
        there = f"{section}[].{name}" if name in names else f"mlops.mlflow.{module}#module:{name}"
        text = re.sub(rf"O\({name}(?=[)=.\[])", f"O({there}", text)
    return {
        "description": [f"One entry for each, with the options of M(mlops.mlflow.{module}) except those of the connection."],
        "type": "list",
        "elements": "dict",
        "suboptions": yaml.safe_load(text),
    }


def _lists() -> dict[str, Any]:
    found = {}
    for section, kind in KINDS.items():
        documented = yaml.safe_load(import_module(f"{_MODULES}.{kind.module}").DOCUMENTATION)["options"]
        found[section] = _list(section, kind.module, documented, set(kind.rules.OPTIONS))
    return found


class ModuleDocFragment:
    """Fragment C(mlops.mlflow.resources)."""

    # Annotated, because the yamllint test of ansible-test would take a plain assignment for a string literal.
    DOCUMENTATION: str = yaml.safe_dump({"options": _lists()}, sort_keys=False, width=10**6, allow_unicode=True)
