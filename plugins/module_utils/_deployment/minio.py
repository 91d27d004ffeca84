# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""MinIO in the cluster, and its maintained fork Silo: the server, and what has to be done about MLflow's user in it. No I/O."""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import workload
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store import (
    PORT,
    ArtifactStore,
    Server,
    policy,
    policy_text,
    secrets_of,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.connections import Cluster
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import as_json, checksum
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.workload import Object


def program(image: str) -> str:
    """Return the program of an image: Silo's calls it otherwise.

    >>> program("docker.io/pgsty/silo:RELEASE.2026-09-16T00-00-00Z"), program("registry.example.com/silo/minio:1")
    ('silo', 'minio')
    """
    return "silo" if re.search("silo[^/]*$", image) else "minio"


def is_frozen(image: str) -> bool:
    """Return whether an image is of MinIO's community edition, which was archived in April 2026."""
    return bool(re.search("(^|/)minio/minio([:@]|$)|:RELEASE[.]20(1[0-9]|2[0-5])-", image))


def server(given: ArtifactStore, cluster: Cluster, secrets: Mapping[str, Mapping[str, str]], script: str) -> Server:
    """Return the server. ``secrets`` are the values of its Secrets, by name and key; ``script`` makes MLflow's user (files/minio/user.sh)."""
    names, files = secrets_of(given.name), {"policy.json": policy_text(given), "user.sh": script}
    admin, user = secrets[names["admin"]], secrets[names["user"]]
    held = {"MINIO_ROOT": names["admin"], "CLIENT": names["user"]}
    words = {"MINIO_ROOT": ("USER", "PASSWORD"), "CLIENT": ("ACCESS_KEY", "SECRET_KEY")}
    own = {
        # For mc in this pod: the server as its administrator, and as the user of MLflow.
        "MC_HOST_local": f"http://$(MINIO_ROOT_USER):$(MINIO_ROOT_PASSWORD)@127.0.0.1:{PORT}",
        "MC_HOST_client": f"http://$(CLIENT_ACCESS_KEY):$(CLIENT_SECRET_KEY)@127.0.0.1:{PORT}",
        "MC_CONFIG_DIR": "/tmp/mc",
        "HOME": "/tmp",
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_SITE_REGION": given.region,
    }
    return Server(
        given, cluster, [program(given.image), "server", "--address", f":{PORT}", "/data/minio"], "/minio/health/live", "/minio/health/ready", files,
        "/etc/artifact-store", checksum(as_json(files, sort_keys=True) + admin["secret-key"] + user["secret-key"] + user["access-key"]),
        [
            *(workload.secret_value(f"{start}_{word}", secret, key)
              for start, secret in held.items() for word, key in zip(words[start], ("access-key", "secret-key"))),
            *(workload.value(name, text) for name, text in own.items()),
        ],
    )  # fmt: skip


def user(given: ArtifactStore, state: Mapping[str, Any]) -> Object:
    """Return whether MLflow's user differs from what is wanted, and which policies it has besides its own.

    ``state`` is what user.sh says of it, {} where it cannot be asked.
    """
    found, name = state.get("user") or {}, given.access_key
    policies = [each for each in (found.get("policyName") or "").split(",") if each]
    there = ((state.get("policy") or {}).get("policyInfo") or {}).get("Policy") or {}
    is_right = (
        policies == [name]
        and found.get("userStatus") == "enabled"
        and (state.get("key") or {}).get("status") == "success"
        and statements(there) == statements(policy(given.bucket, given.prefix))
    )
    return {"differs": not is_right, "other_policies": [each for each in policies if each != name]}


def statements(found: Mapping[str, Any]) -> list[str]:
    """Return what a policy allows, in one spelling: MinIO gives sets back in any order.

    >>> statements({"Statement": [{"Effect": "Allow", "Action": ["b", "a"], "Resource": "r"}]})
    ['["Allow", ["a", "b"], ["r"], "", []]']
    """
    return [
        json.dumps([
            each["Effect"], _sorted(each["Action"]), _sorted(each["Resource"]), each.get("Sid") or "",
            sorted([operator, key, _sorted(values)] for operator, keys in (each.get("Condition") or {}).items() for key, values in keys.items()),
        ])
        for each in found.get("Statement") or []
    ]  # fmt: skip


def _sorted(values: str | Iterable[str]) -> list[str]:
    return [values] if isinstance(values, str) else sorted(values)
