# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the module of whole declarations does: it applies one, or exports the server as one."""
from __future__ import annotations

from typing import Any, Callable, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _options
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.apply_declaration import apply_declaration
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.export_declaration import export_declaration
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kinds
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.workers import Client, Workers

#: One thread each, of which a server has some forty.
MAX_CONNECTIONS = 64


def argument_spec(kinds: Kinds) -> dict[str, dict[str, Any]]:
    """One list per kind, whose entries take the options of the kind's own module, including secret ones."""
    return {
        section: {"type": "list", "elements": "dict", "options": kind.rules.OPTIONS, "no_log": False} for section, kind in kinds.items()
    }


def run(module: AnsibleModule, kinds: Kinds, make_client: Callable[[], Client]) -> NoReturn:
    """Do what the module's options ask for, and exit the module."""
    params = module.params
    for option in ("kinds", "prune"):
        for section in params[option] or []:
            if section not in kinds:
                raise InvalidOption(option, section, "is not a list of a declaration", f"use {', '.join(kinds)}")
    _options.check_number("connections", params["connections"], 1, MAX_CONNECTIONS)
    _options.check_number("prune_limit", params["prune_limit"], 0, 100)
    make_client().close()  # an unusable connection option is reported before anything is read
    workers = Workers(make_client, params["connections"])
    try:
        if params["state"] == "exported":
            resources, left_out = export_declaration(params, kinds, workers)
            module.exit_json(changed=False, resources=resources, left_out=left_out)
        apply_declaration(module, kinds, workers)
    finally:
        workers.close()
