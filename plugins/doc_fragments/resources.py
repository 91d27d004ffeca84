# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of a declaration, made of the documentation of the modules whose options their entries take."""
from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import yaml

from ansible_collections.mlops.mlflow.plugins.module_utils._resources import KINDS

_MODULES = "ansible_collections.mlops.mlflow.plugins.modules"


def _list(section: str, module: str, documented: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The option ``section``: a list of what ``module`` takes. What its words say of its own options they say of an entry's."""
    options = {name: option for name, option in documented.items() if name in names}
    text = yaml.safe_dump(options, sort_keys=False, width=10**6, allow_unicode=True)
    for name in documented:
        there = f"{section}[].{name}" if name in names else f"mlops.mlflow.{module}#module:{name}"
        text = re.sub(rf"O\({name}(?=[)=.\[])", f"O({there}", text)
    return {
        "description": [f"What the M(mlops.mlflow.{module}) module takes, apart from the connection, an entry each."],
        "type": "list",
        "elements": "dict",
        "suboptions": yaml.safe_load(text),
    }


def _lists() -> dict[str, Any]:
    found = {}
    for section, kind in KINDS.items():
        module = f"mlflow_{kind.rules.LABEL.replace(' ', '_')}"
        documented = yaml.safe_load(import_module(f"{_MODULES}.{module}").DOCUMENTATION)["options"]
        found[section] = _list(section, module, documented, set(kind.rules.OPTIONS))
    return found


class ModuleDocFragment:
    """Fragment C(mlops.mlflow.resources)."""

    # With its type, since yamllint of ansible-test takes a plain assignment for a text.
    DOCUMENTATION: str = yaml.safe_dump({"options": _lists()}, sort_keys=False, width=10**6, allow_unicode=True)
