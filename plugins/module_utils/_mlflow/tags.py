# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Rules for tags, descriptions and names that all kinds of resource share. No I/O."""
from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, State, purged

#: Tags with this prefix are MLflow's own; they are neither purged nor exported.
SYSTEM_TAG_PREFIX = "mlflow."
#: Those that users set in MLflow's UI, or prefixes of their keys: the description, the kind of experiment, the primary metric, saved and
#: shared views (mlflow/utils/mlflow_tags.py and the code of the UI, 3.17).
_PERSONAL = ("mlflow.note.content", "mlflow.experimentKind", "mlflow.experiment.primaryMetric.", "mlflow.customView.view", "mlflow.sharedViewState.")

# Limits: mlflow/utils/validation.py and the columns of mlflow/store/*/dbmodels/models.py, MLflow 3.17.
MAX_TAG_KEY = 250
MAX_DESCRIPTION = 5000


def text(value: Any) -> str:
    """A YAML scalar as MLflow stores it: a string.

    >>> text(True), text(3), text("3")
    ('true', '3', '3')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def check_tags(option: str, tags: Mapping[str, Any] | None, longest: int) -> None:
    """Raise InvalidOption, naming ``option``, for a key or a value that MLflow would reject; ``longest`` is the limit of a value in characters."""
    for key, value in (tags or {}).items():
        _check_tag(option, key, value, longest)


def _check_tag(option: str, key: str, value: Any, longest: int) -> None:
    if not key or len(key) > MAX_TAG_KEY:
        raise InvalidOption(option, key[:20], f"is a key of {len(key)} characters", f"use 1 to {MAX_TAG_KEY}")
    # validate_param_and_metric_name and path_not_unique of mlflow/utils/validation.py.
    if not re.fullmatch(r"[/\w.\- :]+", key) or posixpath.normpath(key) != key or key.startswith(("..", "/")) or key == ".":
        raise InvalidOption(option, key, "is not a valid tag key", "use letters, digits, '_', '-', '.', ':', spaces, and single '/' between them")
    if isinstance(value, (dict, list)):
        raise InvalidOption(option, key, "has a value that is a list or a dictionary", "give a string; to_json makes one")
    if value is not None and len(text(value)) > longest:
        raise InvalidOption(option, key, f"has a value of {len(text(value))} characters", f"MLflow stores at most {longest}")


def check_description(option: str, description: str | None, longest: int = MAX_DESCRIPTION) -> None:
    """Raise InvalidOption for a description of more than ``longest`` characters, which does not fit its column."""
    if description is not None and len(description) > longest:
        raise InvalidOption(option, description[:20] + "…", f"has {len(description)} characters", f"MLflow stores at most {longest}")


def check_length(option: str, value: str, longest: int, thing: str) -> None:
    """Raise InvalidOption for a name that is blank or longer than ``longest`` characters; ``thing`` is what it names."""
    if not value.strip():
        raise InvalidOption(option, value, "is empty", f"give the {thing} a name")
    if len(value) > longest:
        raise InvalidOption(option, value[:20] + "…", f"has {len(value)} characters", f"MLflow stores at most {longest}")


def entries(given: Mapping[str, Any]) -> State:
    """``given`` as part of a desired state: values as MLflow stores them, null as ABSENT.

    >>> entries({"tier": 1, "old": None})
    {'tier': '1', 'old': ABSENT}
    """
    return {key: ABSENT if value is None else text(value) for key, value in given.items()}


def desired_tags(params: Mapping[str, Any], current: State | None) -> State:
    """What ``tags`` and ``purge_tags`` ask for, as part of a desired state; MLflow's own tags are never purged.

    >>> desired_tags({"tags": {"a": 1}, "purge_tags": True}, {"tags": {"b": "2", "mlflow.note": "n"}})
    {'tags': {'a': '1', 'b': ABSENT}}
    >>> desired_tags({"tags": None}, None)
    {}
    """
    if params.get("tags") is None:
        return {}
    wanted = entries(params["tags"])
    return {"tags": purged((current or {}).get("tags", {}), wanted, is_system_tag) if params.get("purge_tags") else wanted}


def is_system_tag(key: str) -> bool:
    """Whether MLflow itself sets the tag."""
    return key.startswith(SYSTEM_TAG_PREFIX)


def own_tags(state: State, is_system: Callable[[str], bool] = is_system_tag) -> dict[str, str]:
    """Return the tags of ``state`` that users set, in alphabetical order, as an export declares them.

    >>> own_tags({"tags": {"mlflow.note.content": "by Ann", "mlflow.source": "x", "a": "1"}})
    {'a': '1', 'mlflow.note.content': 'by Ann'}
    """
    return {key: value for key, value in sorted(state.get("tags", {}).items()) if not is_system(key) or key.startswith(_PERSONAL)}


def refuse_key(option: str, given: Mapping[str, Any] | None, key: str, problem: str, remedy: str) -> None:
    """Raise InvalidOption if ``given`` sets ``key``, which would turn the resource into something else."""
    if (given or {}).get(key) is not None:
        raise InvalidOption(option, key, problem, remedy)


def declared(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``entry`` of an export without empty values, which a declaration leaves out.

    >>> declared({"name": "iris", "description": "", "tags": {}, "is_admin": False})
    {'name': 'iris', 'is_admin': False}
    """
    return {key: value for key, value in entry.items() if value is not None and value not in ("", {}, [])}
