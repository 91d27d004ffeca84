# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Calls of kubernetes.core's modules by action plugins: while the API server restarts, they are repeated."""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.apply_result import unreachable

#: The API server of a k3s server that restarts is away for about twenty seconds.
TRIES, PAUSE = 8, 5.0


def persistent(call: Callable[[], dict[str, Any]], kubeconfig: str, check_mode: bool) -> dict[str, Any]:
    """Return the result of a module, called again while the API server does not answer. Its failure then says so in one sentence.

    In check mode, the cluster may be one that a run would make, so it is called once.
    """
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE)
        result = call()
        told = unreachable(result, kubeconfig)
        if not told:
            return result
        if check_mode:
            break
    return {**result, "msg": told, "exception": None}
