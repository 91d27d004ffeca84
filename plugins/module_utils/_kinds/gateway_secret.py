# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Secrets of the AI gateway, for the single modules and for mlflow_resources."""
from __future__ import annotations

from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.gateway_secret import GatewaySecret
from ansible_collections.mlops.mlflow.plugins.module_utils._core import gateway_secret
from ansible_collections.mlops.mlflow.plugins.module_utils._ports import Kind

GATEWAY_SECRET = Kind("gateway_secrets", gateway_secret, GatewaySecret)
