"""The steps of a training workflow as components of Kubeflow Pipelines (kfp 2).

``create_run``, ``log_parameters``, ``log_metrics``, ``log_model``, ``register_model``, ``promote_model``, ``finish_run`` and, for
``dsl.ExitHandler``, ``finish_workflow`` are components that install this package, in its own version, into a plain Python image. Where a pod cannot
have it from PyPI, these variables of the environment in which a pipeline is compiled say from where: ``MLFLOW_UTILS_PACKAGE`` (a requirement, such as
the URL of a wheel), ``MLFLOW_UTILS_INDEX_URL`` and ``MLFLOW_UTILS_IMAGE`` (an image that has the package and kfp, where no package is named).
`components` says it in the program:

>>> steps = components(base_image="registry.example.org/python-train:1", packages=())    # doctest: +SKIP

A component reaches the server that the environment of its pod names; `use_mlflow` sets it, with credentials from a Kubernetes Secret. What each
does is written in `mlflow_utils.steps`.

Kubeflow skips a task whose inputs it has seen before. Give ``create_run`` the ``workflow_id`` ``dsl.PIPELINE_JOB_ID_PLACEHOLDER``, which differs
in each execution, so that each has a run of its own, and all that depends on its id runs too.

Where Kubeflow Pipelines' own MLflow plugin gives tasks a run (``injectUserEnvVars``, which sets MLFLOW_RUN_ID), ``create_run`` makes no other: it
gives the pipeline's run, which the plugin has made and ends. ``use_mlflow`` is not needed then.

A task whose condition is false does not run, nor does one that depends on it: end the run by ``finish_workflow`` in a ``dsl.ExitHandler``, which
Kubeflow calls in any case, and not by ``finish_run`` behind a ``dsl.If``, which would leave it RUNNING.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from . import __version__

try:
    from kfp import dsl

    from . import _kfp_steps
except ImportError as error:
    raise ImportError("mlflow_utils.kfp_components needs kfp; install it with: pip install 'mlflow-utils[kfp]'") from error

_IMAGE = os.environ.get("MLFLOW_UTILS_IMAGE", "")
_PACKAGE = os.environ.get("MLFLOW_UTILS_PACKAGE", "")
_INDEX_URL = os.environ.get("MLFLOW_UTILS_INDEX_URL", "")
#: What a component installs in its pod where nothing else is said, from where, and into which image.
PACKAGES: Final = (_PACKAGE,) if _PACKAGE else () if _IMAGE else (f"mlflow-utils=={__version__}",)
INDEX_URLS: Final = (_INDEX_URL,) if _INDEX_URL else ()
BASE_IMAGE: Final = _IMAGE or "python:3.12-slim"
#: The variables that `use_mlflow` takes from the Secret where it is not told which.
CREDENTIALS: Final = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@dataclass(frozen=True)
class Components:
    """The components of one image. Each is called within a pipeline, with keyword arguments, and gives a task."""

    create_run: Callable[..., Any]
    log_parameters: Callable[..., Any]
    log_metrics: Callable[..., Any]
    log_model: Callable[..., Any]
    register_model: Callable[..., Any]
    promote_model: Callable[..., Any]
    finish_run: Callable[..., Any]
    finish_workflow: Callable[..., Any]


def components(base_image: str = BASE_IMAGE, packages: Sequence[str] = PACKAGES, index_urls: Sequence[str] = INDEX_URLS) -> Components:
    """The components for an image.

    ``packages`` are requirements that each pod installs with pip before it starts, from ``index_urls`` (PyPI where there are none), and kfp with
    them. Where ``packages`` is empty nothing is installed: the image has this package and kfp.
    """
    made = {
        field.name: dsl.component(
            getattr(_kfp_steps, field.name),
            base_image=base_image,
            packages_to_install=list(packages),
            pip_index_urls=list(index_urls) or None,
            install_kfp_package=bool(packages),
        )
        for field in fields(Components)
    }
    return Components(**made)


def use_mlflow(task: Any, tracking_uri: str, secret: str | None = None, variables: Sequence[str] = CREDENTIALS) -> Any:
    """Tell a task, of these components or of your own, its server; the task again.

    ``variables`` are environment variables that the pod gets from keys of the same names in the Kubernetes Secret ``secret``, which lies in the
    namespace where the pipeline runs; their values are never in the pipeline. Raises ImportError where there is a secret and kfp-kubernetes is
    not installed.
    """
    task.set_env_variable("MLFLOW_TRACKING_URI", tracking_uri)
    if secret is not None:
        try:
            from kfp import kubernetes  # noqa: PLC0415 - a distribution of its own
        except ImportError as error:
            raise ImportError("a secret in a pipeline needs kfp-kubernetes; install it with: pip install 'mlflow-utils[kfp]'") from error
        kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env={name: name for name in variables})
    return task


_DEFAULT = components()
create_run = _DEFAULT.create_run
log_parameters = _DEFAULT.log_parameters
log_metrics = _DEFAULT.log_metrics
log_model = _DEFAULT.log_model
register_model = _DEFAULT.register_model
promote_model = _DEFAULT.promote_model
finish_run = _DEFAULT.finish_run
finish_workflow = _DEFAULT.finish_workflow
