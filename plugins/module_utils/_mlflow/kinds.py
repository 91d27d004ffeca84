# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The registry of what mlflow_resources manages: the kinds, in the order in which a declaration is applied.

The action group, the options of mlflow_resources, the tables of README.md and the reference of a declaration follow from it: ``make docs``.
"""
from __future__ import annotations

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.experiment.adapter import EXPERIMENT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_endpoint.adapter import GATEWAY_ENDPOINT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_model_definition.adapter import GATEWAY_MODEL_DEFINITION
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.gateway_secret.adapter import GATEWAY_SECRET
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.grant.adapter import GRANT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.model_version.adapter import MODEL_VERSION
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.prompt.adapter import PROMPT
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.registered_model.adapter import REGISTERED_MODEL
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.role.adapter import ROLE
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.user.adapter import USER
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.webhook.adapter import WEBHOOK
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.workspace.adapter import WORKSPACE
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kinds

KINDS = Kinds(
    (WORKSPACE, USER),
    (EXPERIMENT, REGISTERED_MODEL, PROMPT, WEBHOOK, GATEWAY_SECRET),
    (MODEL_VERSION, GATEWAY_MODEL_DEFINITION),
    (GATEWAY_ENDPOINT,),
    (ROLE, GRANT),
)
