"""Every object of a kind that is not Kubernetes' own is one that its CustomResourceDefinition takes, which its project's Go module has.

An API server drops a field that the definition does not have; here it is an error, as in ``kubectl apply --validate=strict``.
"""
from __future__ import annotations

import copy
import shutil
from functools import cache
from typing import Any

import jsonschema
import pytest
import variants
import yaml
from parts import parts

MADE = [made for made in variants.distinct() if made["kind"] in variants.CUSTOM]

pytestmark = pytest.mark.skipif(not shutil.which("go"), reason="there is no Go toolchain in PATH, which fetches the definitions")


def strict(schema: Any) -> Any:
    """Return the OpenAPI schema as a JSON Schema that allows no unknown field."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(value) for name, value in schema.items()}
    if isinstance(found.get("properties"), dict) and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    if found.get("x-kubernetes-int-or-string") is True:
        found["type"] = ["integer", "string"]
    return found


@cache
def validator(kind: str, version: str) -> Any:
    """What validates the objects of a kind and a version of its API."""
    (file,) = parts.part(variants.CUSTOM[kind]).glob("*.yaml")
    definitions = yaml.load_all(file.read_text(), yaml.CSafeLoader)
    definition = next(each for each in definitions if each and each.get("spec", {}).get("names", {}).get("kind") == kind)
    group, served = definition["spec"]["group"], [each for each in definition["spec"]["versions"] if each["served"]]
    schema = strict(next(each for each in served if f"{group}/{each['name']}" == version)["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(schema)


def problems(made: dict[str, Any]) -> list[str]:
    """What is wrong with an object."""
    errors = validator(made["kind"], made["apiVersion"]).iter_errors(made)
    return [f"{made['kind']}/{made['metadata']['name']}: {'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


def test_every_object_of_every_option_is_valid() -> None:
    assert {made["kind"] for made in MADE} == set(variants.CUSTOM)
    assert [problem for made in MADE for problem in problems(made)] == []


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("HTTPRoute", "hostnames", "mlflow.example.com"),
        ("Middleware", "forwardAuht", {}),
        ("ServiceMonitor", "selector", None),
        ("Cluster", "instances", "1"),
        ("Database", "databaseReclaimPolicy", "keep"),
        ("SecretStore", "povider", {}),
        ("ExternalSecret", "refreshInterval", 5),
        ("PushSecret", "updatePolicy", "Never"),
        ("SecurityPolicy", "oicd", {}),
        ("BackendTrafficPolicy", "responseOverride", {}),
        ("Backend", "tls", {"sni": "login.example.com", "caCertificates": []}),
    ],
)
def test_a_planted_mistake_is_seen(kind: str, field: str, value: Any) -> None:
    wrong = copy.deepcopy(next(made for made in MADE if made["kind"] == kind))
    wrong["spec"][field] = value
    assert len(problems(wrong)) == 1
