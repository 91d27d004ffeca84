# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Whether External Secrets has done what its objects say, and if not, why. No I/O.

The API: https://external-secrets.io/latest/api/spec/
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._kubernetes.pod_trouble import events_of, newest, one_line, seconds

Object = Mapping[str, Any]

VERSION, VERSION_OF_PUSHES = "external-secrets.io/v1", "external-secrets.io/v1alpha1"
STORES = ("SecretStore", "ClusterSecretStore")
KINDS = (*STORES, "ExternalSecret", "PushSecret")
#: What an ExternalSecret is asked to be read again with: the version that it was read at until then, and when that was.
ASKED = "mlops.mlflow/asked"
#: How long a failure may be a passing one, or that of the last try, in seconds; and how long nothing may happen at all.
GRACE, PATIENCE = 15, 60
#: The reasons of the events that say more than the condition.
_REASONS = ("UpdateFailed", "InvalidProviderConfig", "ValidationFailed", "Errored")
_OPERATOR = "check that its operator runs: kubectl get pods --all-namespaces --selector app.kubernetes.io/name=external-secrets"
_REMEDIES = {
    "Secret does not exist": "write it into Vault, or set credentials_create_missing: true",
    "cannot find secret data for key": "write it into Vault, or set credentials_create_missing: true",
    "secret not managed by external-secrets": (
        "somebody else has made it in Vault, where External Secrets adds nothing: write what it lacks there, or choose another credentials_path"
    ),
    "permission denied": "let the policy of its role in Vault read credentials_path, or write it for credentials_create_missing, and check the role",
    "Vault is sealed": "unseal it",
    "connection refused": "check that Vault runs, and its address in the store",
    "no such host": "correct Vault's address in the store",
    "certificate signed by unknown authority": "set credentials_vault_ca, or correct the store's CA",
}


def progress(kind: str, thing: Object, events: Sequence[Object], now: float, waited: float) -> tuple[str, str, str, str]:
    """Return how far it has come, as in rollout.Verdict: state, progress, reason and remedy.

    >>> done = {"metadata": {"name": "mlflow"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    >>> progress("SecretStore", done, [], 0, 0)
    ('done', 'valid', '', '')
    """
    status = thing.get("status") or {}
    ready: Object = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), {})
    words = ("valid", "not valid yet") if kind in STORES else ("synced", "not synced yet")
    if ready.get("status") == "True" and _is_current(kind, thing):
        return "done", words[0], "", ""
    if ready.get("status") == "False":
        told = newest(events_of(kind, thing["metadata"]["name"], events), *_REASONS) or one_line(ready.get("message"))
        remedy = next((each for text, each in _REMEDIES.items() if text in told), "correct what it names")
        return "failed" if waited > GRACE else "waiting", words[1], told, remedy
    since = now - max(now - waited, seconds(thing["metadata"].get("creationTimestamp")))
    late = since > GRACE
    return "failed" if since > PATIENCE else "waiting", words[1], "External Secrets has not acted on it" if late else "", _OPERATOR if late else ""


def _is_current(kind: str, thing: Object) -> bool:
    """Whether the condition is about the object as it is, and as it was last asked for. A store does not say so."""
    metadata, synced = thing["metadata"], str((thing.get("status") or {}).get("syncedResourceVersion") or "")
    earlier = str((metadata.get("annotations") or {}).get(ASKED, " ")).partition(" ")[0]
    return kind in STORES or (synced.partition("-")[0] == str(metadata.get("generation", "")) and synced != earlier)
