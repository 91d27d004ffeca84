# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of a model version: options in, state out. No I/O."""
from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus, urlparse, urlsplit

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import tags
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.registered_model import rules as registered_model
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused, check_number
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import State

LABEL = "model version"
STAGES = ("None", "Staging", "Production", "Archived")
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "source": {"type": "str"},
    "run_id": {"type": "str"},
    "artifact_path": {"type": "str"},
    "model_id": {"type": "str"},
    "description": {"type": "str"},
    "tags": {"type": "dict"},
    "purge_tags": {"type": "bool", "default": False},
    "aliases": {"type": "list", "elements": "str"},
    "purge_aliases": {"type": "bool", "default": False},
    "stage": {"type": "str", "choices": list(STAGES)},
    "archive_existing_versions": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 300},
    "force": {"type": "bool", "default": False},
}

#: The options that select a version, of which exactly one is given.
_WHICH = ("source", "artifact_path", "model_id", "version")
#: Stages in which MLflow can archive the other versions (DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS of mlflow/entities/model_registry).
_ACTIVE_STAGES = ("Staging", "Production")
#: Schemes that other servers can read too: object stores and shared file systems.
_SHARED_SCHEMES = frozenset({"s3", "gs", "wasb", "wasbs", "abfs", "abfss", "hdfs", "viewfs", "dbfs", "oss", "b2", "r2"})

# Limits: mlflow/utils/validation.py and the columns of mlflow/store/model_registry/dbmodels/models.py, MLflow 3.17.
MAX_TAG_VALUE = 100_000
MAX_SOURCE = 500
MAX_RUN_ID = 32
#: A day, in seconds.
MAX_WAIT = 86_400


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that MLflow would reject, or would accept and then fail on.

    >>> check_options({"name": "iris", "source": "s3://bucket/iris", "model_id": "m-1"})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: source: 's3://bucket/iris' is given together with model_id; give one of them
    """
    registered_model.check_name("name", params["name"])
    _check_which(params)
    if params.get("source") is not None:
        _check_source(params["source"], params.get("run_id"))
    tags.check_description("description", params.get("description"))
    tags.check_tags("tags", params.get("tags"), MAX_TAG_VALUE)
    registered_model.refuse_prompt_tag(params.get("tags"))
    for alias in params.get("aliases") or []:
        registered_model.check_alias("aliases", alias)
    if params.get("archive_existing_versions") and params.get("stage") not in _ACTIVE_STAGES:
        raise InvalidOption("archive_existing_versions", True, "applies only to a version that enters a stage", "set stage to Staging or Production")
    check_number("wait_timeout", params.get("wait_timeout"), 0, MAX_WAIT)
    if params.get("source") is not None:
        _check_path(params["source"])


def _check_which(params: Mapping[str, Any]) -> None:
    given = [option for option in _WHICH if params.get(option) is not None]
    if len(given) > 1:
        raise InvalidOption(given[0], params[given[0]], f"is given together with {given[1]}", "give one of them")
    run_id = params.get("run_id")
    if not given:
        if run_id is not None:
            raise InvalidOption("run_id", run_id, "selects a run, but no model in it", "give artifact_path too")
        ways = "source, run_id with artifact_path, or model_id" + (", or version" if "version" in params else "")
        raise InvalidOption("name", params["name"], "selects a model, but no version of it", f"give {ways}")
    _check_form(given[0], params[given[0]])
    if given[0] == "artifact_path" and run_id is None:
        raise InvalidOption("artifact_path", params["artifact_path"], "is the path of a model within a run", "give run_id too")
    if run_id is not None:
        if given[0] not in ("source", "artifact_path"):
            raise InvalidOption("run_id", run_id, f"is given together with {given[0]}, which determines the run", "leave run_id out")
        _check_form("run_id", run_id)


#: The pattern of an option, the problem if it does not match, and the remedy.
_FORMS = {
    "source": (r"(?s).*\S.*", "is empty", "give the URI of the model's folder"),
    "artifact_path": (r"(?s).*[^/\s].*", "is empty", "give the model's path within the run"),
    "model_id": (r"[\w-]+", "is not the ID of a logged model", "give only the ID, such as m-1c2d3e"),
    "version": (r"[1-9]\d*", "is not a version number", "give the number that MLflow shows"),
    "run_id": (rf"\w{{1,{MAX_RUN_ID}}}", "is not a run ID", f"give the run's ID, of {MAX_RUN_ID} characters"),
}


def _check_form(option: str, value: Any) -> None:
    pattern, problem, remedy = _FORMS[option]
    if not re.fullmatch(pattern, str(value)):
        raise InvalidOption(option, value, problem, remedy)


def _check_source(source: str, run_id: str | None) -> None:
    if len(source) > MAX_SOURCE:
        raise InvalidOption("source", source[:20] + "…", f"has {len(source)} characters", f"MLflow stores at most {MAX_SOURCE}")
    if ".." in _unquoted(source).split("/"):
        raise InvalidOption("source", source, "has '..' in its path", "give the path without it")
    scheme = urlsplit(source).scheme
    if scheme == "models" and not re.fullmatch(r"models:/([\w-]+|[^/]+/[1-9]\d*)", source):
        raise InvalidOption(
            "source", source, "refers to a version that can change", "give models:/NAME/NUMBER, or models:/ and a logged model's ID"
        )
    if scheme == "runs" and not re.fullmatch(r"runs:/\w+/.*[^/].*", source):
        raise InvalidOption("source", source, "names no model in a run", "give runs:/RUN_ID/PATH")
    if scheme == "runs" and run_id and not source.startswith(f"runs:/{run_id}/"):
        raise InvalidOption("run_id", run_id, f"is not the run of {source!r}", "leave it out, or correct one of the two")
    if scheme in ("", "file", "mlflow-artifacts") and not run_id:
        raise InvalidOption(
            "source", source, "is stored by the server itself, and MLflow accepts it only from the run that owns it", "give run_id too"
        )


def _check_path(source: str) -> None:
    path = re.sub("/+", "/", urlparse(_unquoted(source)).path.rstrip("/"))
    if urlsplit(source).scheme not in ("", "file", "models", "runs") and (not path.startswith("/") or posixpath.normpath(path) != path):
        raise InvalidOption("source", source, "has no plain path for MLflow", "give an absolute path without '.' segments below its bucket or host")


def _unquoted(source: str) -> str:
    """Return ``source`` fully unquoted, as MLflow checks it (_validate_non_local_source_contains_relative_paths of its server, 3.17).

    >>> _unquoted("s3://b/%252e%252e/x")
    's3://b/../x'
    """
    while (plain := unquote_plus(source)) != source:
        source = plain
    return source


def identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the model's name, the source, and the run if the source does not imply it. Several versions may have the same identity.

    >>> identity({"name": "iris", "model_id": "m-1", "run_id": None})
    ('iris', 'models:/m-1', '')
    >>> identity({"name": "iris", "source": "s3://b/iris", "run_id": "0f3a"})
    ('iris', 's3://b/iris', '0f3a')
    >>> identity({"name": "iris", "source": "s3://b/1/0f3a/artifacts/iris", "run_id": "0f3a"})
    ('iris', 's3://b/1/0f3a/artifacts/iris', '')
    """
    source, run_id = _source(entry), entry.get("run_id") or ""
    implied = source.startswith(("models:/", "runs:/", "version ")) or run_id in source
    return (entry["name"], source, "" if implied else run_id)


def _source(entry: Mapping[str, Any]) -> str:
    """Return the source as MLflow stores it; what only the server can resolve is left as is."""
    if entry.get("source"):
        return str(entry["source"])
    if entry.get("model_id"):
        return f"models:/{entry['model_id']}"
    if entry.get("artifact_path"):
        return f"runs:/{entry['run_id']}/{entry['artifact_path'].strip('/')}"
    return f"version {entry['version']}"


def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state for ``params``, given the newest version of that identity.

    Raises Refused if that would delete a version in use without ``force``, or the version cannot be created.

    >>> desired_state({"name": "iris", "state": "present", "source": "s3://b/iris", "aliases": ["champion"]}, None)["aliases"]
    ['champion']
    >>> desired_state({"name": "iris", "state": "absent"}, {"name": "iris", "version": "3", "aliases": ["champion"], "current_stage": "None"})
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: version 3 of registered model 'iris' is in use (champion), and ...; set force: true to delete it
    """
    if params["state"] == "absent":
        _check_unused(params, current)
        return None
    desired: State = {"name": params["name"]}
    if current is None:
        desired.update(_new(params))
    elif current["status"] == "FAILED_REGISTRATION":
        raise Refused(
            f"version {current['version']} of registered model {params['name']!r} could not be registered"
            f"{': ' if current['status_message'] else ''}{current['status_message']}; delete it, and run again"
        )
    elif params.get("wait_timeout"):
        desired["status"] = "READY"
    for option, key in (("run_id", "run_id"), ("description", "description"), ("stage", "current_stage")):
        if params.get(option) is not None:
            desired[key] = params[option]
    if params.get("aliases") is not None:
        there = [] if params.get("purge_aliases") or current is None else current["aliases"]
        desired["aliases"] = sorted({*there, *params["aliases"]})
    return {**desired, **tags.desired_tags(params, current)}


def _new(params: Mapping[str, Any]) -> State:
    if params.get("version") is not None:
        raise Refused(
            f"version: registered model {params['name']!r} has no version {params['version']}, and MLflow numbers versions itself; "
            "give the source, the run or the logged model to create a new version from"
        )
    return {
        "source": _source(params), "run_id": "", "description": "", "tags": {}, "aliases": [], "current_stage": "None", "status": "READY",
    }


def _check_unused(params: Mapping[str, Any], current: State | None) -> None:
    if current is None or params.get("force"):
        return
    uses = [*current["aliases"], *([current["current_stage"]] if current["current_stage"] != "None" else [])]
    if uses:
        raise Refused(
            f"version {current['version']} of registered model {params['name']!r} is in use ({', '.join(uses)}), and MLflow cannot restore "
            "a deleted version; set force: true to delete it"
        )


def declared(state: State) -> dict[str, Any] | None:
    """Return the entry of an export. None for a version without a source, which no declaration could name.

    >>> version = {"name": "iris", "version": "3", "source": "models:/m-1", "run_id": "0f3a", "description": "", "tags": {},
    ...            "aliases": ["champion"], "current_stage": "None", "status": "READY"}
    >>> declared(version)
    {'name': 'iris', 'model_id': 'm-1', 'aliases': ['champion']}
    >>> declared({**version, "source": "s3://b/iris", "current_stage": "Production"})
    {'name': 'iris', 'source': 's3://b/iris', 'run_id': '0f3a', 'aliases': ['champion'], 'stage': 'Production'}
    """
    if not state["source"]:
        return None
    logged = re.fullmatch(r"models:/([\w-]+)", state["source"])
    return tags.declared(
        {
            "name": state["name"],
            "source": None if logged else state["source"],
            "model_id": logged.group(1) if logged else None,
            "run_id": None if state["source"].startswith("models:/") else state["run_id"],
            "description": state["description"],
            "tags": tags.own_tags(state),
            "aliases": state["aliases"],
            "stage": None if state["current_stage"] == "None" else state["current_stage"],
        }
    )


def portable(state: State) -> bool:
    """Whether the version can be created on another server: its files are accessible, and no run or logged model is needed.

    >>> portable({"source": "s3://bucket/iris"}), portable({"source": "mlflow-artifacts:/1/0f3a/artifacts/iris"}), portable({"source": "models:/m-1"})
    (True, False, False)
    """
    return urlsplit(state["source"]).scheme in _SHARED_SCHEMES


def called(state: State) -> str:
    """What a version is called.

    >>> called({"name": "iris", "version": "3"})
    'iris 3'
    """
    return f"{state['name']} {state['version']}"
