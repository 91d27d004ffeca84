# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Versions of registered models, for the single modules and for mlflow_resources."""
from __future__ import annotations

from ansible_collections.mlops.mlflow.plugins.module_utils._adapters import model_version as adapter
from ansible_collections.mlops.mlflow.plugins.module_utils._core import model_version
from ansible_collections.mlops.mlflow.plugins.module_utils._ports import Kind


class ModelVersion(adapter.ModelVersion):
    """The adapter with the rules' identity, by which it tells versions apart."""

    identity = staticmethod(model_version.identity)


MODEL_VERSION = Kind("model_versions", model_version, ModelVersion, repeats=True, parent="registered_models", resolved=adapter.resolved)
