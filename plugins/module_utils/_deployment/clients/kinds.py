# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The registry of the kinds of clients: a new one is a file, and a line here and in the role's argument spec. No I/O."""
from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients import airflow, jupyterhub, namespace
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.client import Kind, Part
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.objects import PARTS

KINDS: Mapping[str, Kind] = {"namespace": namespace.KIND, "jupyterhub": jupyterhub.KIND, "airflow": airflow.KIND}
#: What a client of some kind may have in its namespace.
ALL_PARTS: tuple[Part, ...] = (*PARTS, *(part for kind in KINDS.values() for part in kind.parts))
