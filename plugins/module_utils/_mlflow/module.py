# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What the modules for MLflow do: each manages one kind of resource, or informs about it."""
from __future__ import annotations

from typing import NoReturn

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import connection
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind


def manage(kind: Kind) -> NoReturn:
    """Run the module of a kind."""
    module = _module.Module(argument_spec=connection.argument_spec(**kind.rules.OPTIONS, **kind.module_options), supports_check_mode=True)
    with _module.errors_as_failures(module):
        _module.manage(module, kind, connection.client(module.params))


def inform(kind: Kind) -> NoReturn:
    """Run the info module of a kind."""
    module = _module.Module(
        argument_spec=connection.argument_spec(**kind.selectors), mutually_exclusive=list(kind.exclusive), supports_check_mode=True
    )
    with _module.errors_as_failures(module):
        _module.inform(module, kind, connection.client(module.params))
