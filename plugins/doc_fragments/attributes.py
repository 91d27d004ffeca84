# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes of the modules of this collection."""
from __future__ import annotations


class ModuleDocFragment:
    """Fragment C(mlops.mlflow.attributes)."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Reports exactly what a run would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows the state before and after.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Only reads, with or without check mode.
    support: full
  diff_mode:
    description: Nothing is changed, so there is no diff.
    support: N/A
  idempotent:
    description: Never changes anything.
    support: full
"""

    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description: Connection options can be set once, with C(group/mlops.mlflow.mlflow) in C(module_defaults).
    support: full
    membership:
      - mlops.mlflow.mlflow
"""
