"""What the role makes and writes for Argo Workflows and KServe, against what these publish: their CRDs, manifests and source, by the Go proxy.

Neither controller runs here. The schemas are made strict: an API server drops a field that it does not know, without a word.
"""
from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import deployments
import jsonschema
import pytest
import yaml

Write = Callable[..., Mapping[str, Path]]
ARGO, KSERVE = "github.com/argoproj/argo-workflows/v4@v4.0.5", "github.com/kserve/kserve@v0.20.0"
FULL = {"username": "ada", "password": "{{x}}", "ca": "-----BEGIN CERTIFICATE-----", "artifact_store_access": True, "pods": {"team": "risk"}}


@cache
def source(module: str) -> Path:
    """The folder of a module's source."""
    if not shutil.which("go"):
        pytest.fail("there is no Go toolchain in PATH; install Go (https://go.dev/dl)")
    done = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(json.loads(done.stdout)["Dir"])


def strict(schema: Any) -> Any:
    """A structural schema that allows no other fields than it names."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    is_closed = isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields")
    return {"additionalProperties": False, **made} if is_closed else made


@cache
def validator(path: Path) -> Any:
    """What validates the objects of a CRD, whose metadata is Kubernetes' own."""
    [version] = [each for each in yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]["versions"] if each["storage"]]
    schema = version["schema"]["openAPIV3Schema"]
    return jsonschema.Draft202012Validator({**strict(schema), "properties": {**strict(schema["properties"]), "metadata": {}}})


def problems(path: Path, made: Mapping[str, Any]) -> list[str]:
    """What an API server with that CRD would say of an object."""
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator(path).iter_errors(made)]


def objects(**entry: Any) -> Iterator[dict[str, Any]]:
    """What the role applies for a client."""
    from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.clients.decisions import DECISIONS  # noqa: PLC0415 (after Ansible's loader)

    yield from DECISIONS["plan"](deployments.clients(entry))["objects"]


@pytest.mark.parametrize("kind", ["Workflow", "WorkflowTemplate"])
def test_argo_takes_the_part_of_a_workflow(write: Write, kind: str) -> None:
    spec = yaml.safe_load(write(kind="argo", namespace="train", **FULL)["argo-workflow.yaml"].read_text())["spec"]
    templates = [{"name": "main", "container": {"image": "x"}}, {"name": "more", "script": {"image": "x", "source": "pass"}}]
    whole = {**spec, "entrypoint": "main", "templates": templates}
    made = {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": whole}
    crd = source(ARGO) / f"manifests/base/crds/full/argoproj.io_{kind.lower()}s.yaml"
    assert problems(crd, made) == []
    wrong = {**made, "spec": {**whole, "templateDefault": {}}}
    assert len(problems(crd, wrong)) == 1, "an unknown field is seen"


def test_argos_executor_may_do_what_it_asks_for() -> None:
    [published] = yaml.safe_load_all((source(ARGO) / "manifests/quick-start/base/executor/emissary/executor-role.yaml").read_text())
    [made] = [each for each in objects(kind="argo", namespace="train") if each["kind"] == "Role"]
    assert made["rules"] == published["rules"]


def test_argo_knows_the_fields_of_the_repository() -> None:
    """They are those of an artifact in S3, which the schema of a workflow has; the format of keys is the repository's own."""
    [made] = [each for each in objects(kind="argo", namespace="train", **FULL) if each["metadata"]["name"] == "artifact-repositories"]
    text = (source(ARGO) / "pkg/apis/workflow/v1alpha1/artifact_repository_types.go").read_text()
    types = (source(ARGO) / "pkg/apis/workflow/v1alpha1/workflow_types.go").read_text()
    known = set(re.findall(r'json:"(\w+)', "".join(re.findall(r"type S3ArtifactRepository struct {.*?\n}", text, re.DOTALL))
                           + "".join(re.findall(r"type S3Bucket struct {.*?\n}", types, re.DOTALL))))
    assert set(yaml.safe_load(made["data"]["mlflow"])["s3"]) <= known
    annotation = next(iter(made["metadata"]["annotations"]))
    assert any(annotation in each.read_text() for each in (source(ARGO) / "docs").glob("*artifact*.md"))


def test_kserve_takes_the_inference_service(write: Write) -> None:
    made = yaml.safe_load(write(kind="kserve", namespace="serving")["kserve-inferenceservice.yaml"].read_text())
    crd = source(KSERVE) / "config/crd/full/serving.kserve.io_inferenceservices.yaml"
    assert problems(crd, made) == []
    made["spec"]["predictor"]["model"]["storageUrl"] = "s3://a"
    assert len(problems(crd, made)) == 1, "an unknown field is seen"


def test_kserve_reads_the_annotations_and_keys_of_the_secret() -> None:
    [made] = [each for each in objects(kind="kserve", namespace="serving") if each["metadata"]["name"] == "mlflow-client-s3"]
    text = (source(KSERVE) / "pkg/credentials/s3/s3_secret.go").read_text()
    notes = [each.removeprefix("serving.kserve.io/") for each in made["metadata"]["annotations"] if each.startswith("serving.kserve.io/")]
    assert len(notes) == 3
    assert [each for each in [*notes, *made["data"]] if f'"{each}"' not in text] == []
