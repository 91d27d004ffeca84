"""KServe metadata of a model version, its tags, and the InferenceService manifest made of it. No I/O, and no KServe SDK.

The manifest has the fields of ``serving.kserve.io/v1beta1`` InferenceService with the "new schema" (``spec.predictor.model``).
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

PREFIX = "kserve."
# Of the Kubernetes API: resource.Quantity without the exponent form, and a DNS label.
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_RESOURCE = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9._-]+")
# What KServe's storage initializer has no way to: https://kserve.github.io/website lists those that it has.
_UNREADABLE = ("mlflow-artifacts", "runs", "models", "")
# KServe appends "-predictor" and, in host names, "-<namespace>"; a label has 63 characters.
NAME_LENGTH = 53


@dataclass(frozen=True)
class KServeMetadata:
    """What KServe must know to serve a model version.

    ``model_format`` and ``model_format_version`` pick the serving runtime, unless ``runtime`` names one. ``protocol_version`` is ``v1``, ``v2`` or
    ``grpc-v2``; left out, it is ``v2`` for the format ``mlflow``, whose runtime speaks nothing else. ``requests`` and ``limits`` map resource names
    to quantities (``{"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1"}``). ``storage_uri`` is where KServe reads the model
    (``s3://``, ``pvc://``, ``gs://``, ``hf://``, ``oci://``, ``https://``); left out, it is where MLflow keeps it.

    Raises ValueError where a quantity, a resource name, the protocol or the storage URI cannot be right.
    """

    model_format: str = "mlflow"
    model_format_version: str | None = None
    runtime: str | None = None
    protocol_version: str | None = None
    storage_uri: str | None = None
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.model_format:
            raise ValueError("model_format is empty; it must name a format that a serving runtime supports, such as 'mlflow'")
        if self.protocol_version not in (None, "v1", "v2", "grpc-v2"):
            raise ValueError(f"protocol_version is {self.protocol_version!r}; it must be 'v1', 'v2' or 'grpc-v2'")
        if self.storage_uri is not None:
            readable(self.storage_uri)
        for option, resources in (("requests", self.requests), ("limits", self.limits)):
            for resource, quantity in resources.items():
                _check_resource(option, resource, quantity)

    def to_tags(self) -> dict[str, str]:
        """The tags that carry it.

        >>> KServeMetadata(runtime="kserve-mlserver", limits={"memory": "1Gi"}).to_tags()
        {'kserve.model_format': 'mlflow', 'kserve.runtime': 'kserve-mlserver', 'kserve.limits.memory': '1Gi'}
        """
        tags = {PREFIX + option: value for option in _SCALARS if (value := getattr(self, option)) is not None}
        tags.update({f"{PREFIX}requests.{resource}": quantity for resource, quantity in self.requests.items()})
        tags.update({f"{PREFIX}limits.{resource}": quantity for resource, quantity in self.limits.items()})
        return tags

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> KServeMetadata:
        """The metadata that a version's tags carry, with the defaults for what they do not say; ValueError as for the class.

        >>> KServeMetadata.from_tags({"kserve.runtime": "kserve-mlserver", "kserve.limits.memory": "1Gi", "team": "risk"}).limits
        {'memory': '1Gi'}
        """
        scalars = {option: tags[PREFIX + option] for option in _SCALARS if PREFIX + option in tags}
        return cls(**scalars, requests=_below(tags, f"{PREFIX}requests."), limits=_below(tags, f"{PREFIX}limits."))


_SCALARS = ("model_format", "model_format_version", "runtime", "protocol_version", "storage_uri")


def _below(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key[len(prefix) :]: value for key, value in tags.items() if key.startswith(prefix)}


def _check_resource(option: str, resource: str, quantity: str) -> None:
    if not _RESOURCE.fullmatch(resource):
        raise ValueError(f"{option} names the resource {resource!r}; Kubernetes has names such as 'cpu', 'memory' and 'nvidia.com/gpu'")
    if not _QUANTITY.fullmatch(quantity):
        raise ValueError(f"{option} asks for {quantity!r} of {resource}; write a quantity such as '500m', '2' or '1.5Gi'")


def readable(uri: str) -> str:
    """``uri`` if KServe can read from such a place; ValueError otherwise."""
    if urlsplit(uri).scheme in _UNREADABLE:
        raise ValueError(f"the storage URI is {uri!r}, which KServe cannot read; give one such as 's3://bucket/path' or 'pvc://claim/path'")
    return uri


def behind_proxy(uri: str, artifact_root: str | None) -> str:
    """Where the artifacts at ``uri`` lie for one who does not go through MLflow.

    ``artifact_root`` is the server's ``--artifacts-destination``, or the same place by another way (the volume claim that holds it).
    Raises ValueError where the artifacts are behind the proxy and ``artifact_root`` is not given.

    >>> behind_proxy("mlflow-artifacts:/1/models/m-1/artifacts", "s3://warehouse/mlflow/")
    's3://warehouse/mlflow/1/models/m-1/artifacts'
    >>> behind_proxy("s3://elsewhere/model", None)
    's3://elsewhere/model'
    """
    parts = urlsplit(uri)
    if parts.scheme != "mlflow-artifacts":
        return uri
    if artifact_root is None:
        raise ValueError(
            f"the model lies at {uri!r}, behind MLflow's artifact proxy, where KServe cannot read; "
            "set artifact_root to the server's artifacts destination, or storage_uri in the version's KServe metadata"
        )
    return artifact_root.rstrip("/") + parts.path


def service_name(model: str) -> str:
    """A name for the InferenceService of ``model``; ValueError where nothing is left of it.

    >>> service_name("Banking_Risk Classifier"), service_name("7days")
    ('banking-risk-classifier', 'm-7days')
    """
    name = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    if not name:
        raise ValueError(f"the model's name {model!r} has no character that Kubernetes takes in a name; set service_name")
    if not name[0].isalpha():
        name = f"m-{name}"
    return name[:NAME_LENGTH].rstrip("-")


def manifest(
    metadata: KServeMetadata,
    *,
    storage_uri: str,
    name: str,
    namespace: str | None = None,
    service_account: str | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The InferenceService as a dictionary with JSON types only, fields that are not set left out; ValueError for a name that KServe refuses."""
    if len(name) > NAME_LENGTH or not _LABEL.fullmatch(name):
        raise ValueError(
            f"service_name is {name!r}; it must have at most {NAME_LENGTH} of a-z, 0-9 and '-', begin with a letter and not end with '-'"
        )
    model_format = _without_none(name=metadata.model_format, version=metadata.model_format_version)
    protocol = metadata.protocol_version or ("v2" if metadata.model_format == "mlflow" else None)
    resources = _without_none(requests=dict(metadata.requests) or None, limits=dict(metadata.limits) or None)
    model = _without_none(
        modelFormat=model_format, protocolVersion=protocol, runtime=metadata.runtime, storageUri=readable(storage_uri), resources=resources or None
    )
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": _without_none(name=name, namespace=namespace, annotations=dict(annotations or {}) or None),
        "spec": {"predictor": _without_none(serviceAccountName=service_account, model=model)},
    }


def serving_advice(model: Mapping[str, Any]) -> list[str]:
    """What keeps KServe's runtime for MLflow from serving a model, a sentence each with the remedy. ``model`` is what its file MLmodel holds.

    MLServer 1.7.1, the runtime's server, has MLflow 2.19, which does not know skops, the format in which MLflow 3.17 writes scikit-learn models.

    >>> serving_advice({"flavors": {"sklearn": {"serialization_format": "cloudpickle"}}, "signature": {"inputs": "[]"}})
    []
    """
    found = []
    if model.get("flavors", {}).get("sklearn", {}).get("serialization_format") == "skops":
        found.append(
            "the model is in the skops format, which MLServer's own MLflow cannot read; "
            'log it with serialization_format="cloudpickle", or set the runtime to one whose image has mlflow 3.17 and skops'
        )
    if not model.get("signature"):
        found.append("the model has no signature, and MLServer answers a plain V2 request with 500; log it with signature= or input_example=")
    return found


def sdk_object(made: Mapping[str, Any]) -> Any:
    """A manifest of ``manifest`` as the KServe SDK's ``V1beta1InferenceService``, which ``KServeClient.create`` takes. Needs the extra ``kserve``."""
    from kserve import (  # noqa: PLC0415 - of the extra
        V1beta1InferenceService,
        V1beta1InferenceServiceSpec,
        V1beta1ModelFormat,
        V1beta1ModelSpec,
        V1beta1PredictorSpec,
    )
    from kubernetes.client import V1ObjectMeta, V1ResourceRequirements  # noqa: PLC0415

    predictor = made["spec"]["predictor"]
    model = predictor["model"]
    spec = V1beta1ModelSpec(
        model_format=V1beta1ModelFormat(**model["modelFormat"]),
        protocol_version=model.get("protocolVersion"),
        runtime=model.get("runtime"),
        storage_uri=model["storageUri"],
        resources=V1ResourceRequirements(**model["resources"]) if "resources" in model else None,
    )
    return V1beta1InferenceService(
        api_version=made["apiVersion"],
        kind=made["kind"],
        metadata=V1ObjectMeta(**made["metadata"]),
        spec=V1beta1InferenceServiceSpec(predictor=V1beta1PredictorSpec(service_account_name=predictor.get("serviceAccountName"), model=spec)),
    )


def _without_none(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
