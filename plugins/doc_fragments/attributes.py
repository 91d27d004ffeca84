# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of this collection support."""
from __future__ import annotations


class ModuleDocFragment:
    """Fragment C(mlops.mlflow.attributes)."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Predicts exactly what a run would change, and writes nothing.
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
    description: Reads alone, in check mode as outside it.
    support: full
  diff_mode:
    description: Nothing changes, so there is nothing to show.
    support: N/A
  idempotent:
    description: Changes nothing.
    support: full
"""

    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description: Takes its connection from C(module_defaults) of C(group/mlops.mlflow.mlflow).
    support: full
    membership:
      - mlops.mlflow.mlflow
"""
