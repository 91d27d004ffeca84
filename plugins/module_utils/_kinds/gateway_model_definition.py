# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Model definitions of the AI gateway, for the single modules and for mlflow_resources."""
from __future__ import annotations

from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.gateway_model_definition import GatewayModelDefinition
from ansible_collections.mlops.mlflow.plugins.module_utils._core import gateway_model_definition
from ansible_collections.mlops.mlflow.plugins.module_utils._ports import Kind

GATEWAY_MODEL_DEFINITION = Kind("gateway_model_definitions", gateway_model_definition, GatewayModelDefinition)
