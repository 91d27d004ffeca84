"""Where a run comes from, as tags: commit, host, image, and the workflow that it is a step of."""
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

COMMIT_TAG: Final = "mlflow.source.git.commit"  # MLflow's own, which its UI shows
#: A tag and the environment variables that it comes from, the first that is set. ARGO_* are set by Argo's controller in each pod,
#: KFP_POD_* and KFP_NAMESPACE by Kubeflow Pipelines; the others belong into the image or the pod's specification.
VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    COMMIT_TAG: ("GIT_COMMIT", "GIT_SHA"),
    "image": ("CONTAINER_IMAGE", "IMAGE"),
    "argo.workflow": ("ARGO_WORKFLOW_NAME",),
    "argo.workflow_uid": ("ARGO_WORKFLOW_UID",),
    "argo.node_id": ("ARGO_NODE_ID",),
    "argo.pod": ("ARGO_POD_NAME",),
    "kubeflow.run_id": ("KFP_RUN_ID",),
    "kubeflow.run": ("KFP_RUN_NAME",),
    "kubeflow.pod": ("KFP_POD_NAME",),
    "kubeflow.pod_uid": ("KFP_POD_UID",),
    "kubeflow.namespace": ("KFP_NAMESPACE",),
}


def context_tags(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The tags that the host and the environment give.

    >>> tags = context_tags({"GIT_COMMIT": "4f2a", "ARGO_NODE_ID": "train-1", "ARGO_TEMPLATE": '{"name": "fit"}'})
    >>> sorted(tags.items() - {("host", tags["host"])})
    [('argo.node_id', 'train-1'), ('argo.template', 'fit'), ('mlflow.source.git.commit', '4f2a')]
    """
    variables = os.environ if variables is None else variables
    tags = {"host": socket.gethostname()}
    for tag, names in VARIABLES.items():
        value = next((variables[name] for name in names if variables.get(name)), None)
        if value is not None:
            tags[tag] = value
    template = _template(variables.get("ARGO_TEMPLATE", ""))
    return {**tags, "argo.template": template} if template else tags


def _template(text: str) -> str:
    """The name in ARGO_TEMPLATE, which is JSON, or "offloaded" where it is long."""
    try:
        content = json.loads(text)
    except ValueError:
        return ""
    return str(content.get("name", "")) if isinstance(content, dict) else ""


def git_tags(folder: Path | None = None) -> dict[str, str]:
    """The commit of the program's working tree, and whether that is not all of the program; nothing without git.

    ``folder`` lies in that tree; where it is None, that is the script's or, where this is in none, the current one. The tag ``git.dirty`` is true
    where a file of the tree was changed since the commit, or a module that is loaded, the script among them, was never added to it.
    """
    for where in [folder] if folder is not None else [_script_folder(), None]:
        commit = _git(where, "rev-parse", "HEAD")
        if commit:
            dirty = _is_dirty(where)
            return {COMMIT_TAG: commit} if dirty is None else {COMMIT_TAG: commit, "git.dirty": str(dirty).lower()}
    return {}


def _script_folder() -> Path | None:
    """Where the script lies; None at a prompt, and for a script of an installed package, such as pytest."""
    file = vars(sys.modules["__main__"]).get("__file__")
    path = Path(file).resolve() if file else None
    return path.parent if path is not None and path.is_file() and "site-packages" not in path.parts and path.parent.name != "bin" else None


def _git(folder: Path | None, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _is_dirty(folder: Path | None) -> bool | None:
    """Whether the commit is not all of the program; None where git cannot say."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    unknown = _git(Path(top), "ls-files", "--others", "--exclude-standard", "-z") if top else None
    if changes is None or unknown is None or not top:
        return None
    # By their dictionaries: to ask some modules for an attribute imports what they stand for.
    files = [file for module in list(sys.modules.values()) if isinstance(file := getattr(module, "__dict__", {}).get("__file__"), str)]
    loaded = {os.path.relpath(os.path.realpath(file), os.path.realpath(top)) for file in files if "site-packages" not in file}
    return bool(changes) or not loaded.isdisjoint(unknown.split("\0"))
