"""Every object of every option is one that the API servers of the oldest and the newest Kubernetes that we name take, without a cluster.

The schemas are those of the API servers' OpenAPI, which kubernetes-validate brings along; the strict ones allow no unknown field.
"""
from __future__ import annotations

import copy
import json
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import variants
from referencing import Registry, Resource

#: The versions that docs/shared-cluster.md names.
OLDEST, NEWEST = "1.30", "1.34"
#: The definition of Kubeflow's PodDefaults is in no module that the Go proxy serves. What a pod gets of one is validated in test_client_kinds.py.
OBJECTS = [made for made in variants.distinct() if made["kind"] not in {*variants.CUSTOM, "PodDefault"}]


@cache
def schema(version: str, name: str) -> Any:
    """A schema of a version of Kubernetes."""
    return json.loads((files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict" / f"{name}.json").read_text())


@cache
def validator(version: str, api_version: str, kind: str) -> Any:
    """What validates objects of a kind."""
    group, _slash, number = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], number)))
    registry: Registry[Any] = Resource.from_contents(schema(version, "_definitions")) @ Registry()
    return jsonschema.Draft202012Validator(schema(version, name), registry=registry)


def problems(version: str, made: dict[str, Any]) -> list[str]:
    """What the API server would say of an object."""
    errors = validator(version, made["apiVersion"], made["kind"]).iter_errors(made)
    return [f"{made['kind']}/{made['metadata']['name']}: {'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_of_every_option_is_valid(version: str) -> None:
    assert [problem for made in OBJECTS for problem in problems(version, made)] == []


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_a_planted_mistake_is_seen(version: str) -> None:
    """An unknown field, deep inside, and a value of another type."""
    made = next(each for each in OBJECTS if each["kind"] == "Deployment")
    for field, value in (("imagePullPolice", "Always"), ("args", "--port")):
        wrong = copy.deepcopy(made)
        wrong["spec"]["template"]["spec"]["containers"][0][field] = value
        assert len(problems(version, wrong)) == 1
