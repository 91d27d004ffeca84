"""The steps of a training workflow as templates of Argo Workflows, made with hera.

`workflow_template` gives one WorkflowTemplate whose templates other workflows refer to:

>>> template = workflow_template("registry.example.org/train:1", "http://mlflow.mlflow.svc.cluster.local", secret="mlflow-client")
>>> print(template.to_yaml())                                                            # doctest: +SKIP

    - name: run
      templateRef: {name: mlflow-steps, template: create-run}
      arguments: {parameters: [{name: experiment, value: risk}, {name: workflow-id, value: "{{workflow.uid}}"}]}
    - name: metrics
      templateRef: {name: mlflow-steps, template: log-metrics}
      arguments: {parameters: [{name: run-id, value: "{{steps.run.outputs.parameters.result}}"}, {name: metrics, value: '{"f1": 0.91}'}]}

Every template that has one gives its result as the output parameter ``result``. What each does, and each of its parameters, is
written in `mlflow_utils.steps`; parameters are named as its options. Pods meet the restricted Pod Security Standard.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from . import _step_options

try:
    from hera.workflows import Artifact, Container, EmptyDirVolume, Env, Parameter, SecretEnvFrom, WorkflowTemplate
    from hera.workflows.models import Capabilities, PodSecurityContext, SeccompProfile, SecurityContext, ValueFrom
except ImportError as error:
    raise ImportError("mlflow_utils.argo needs hera; install it with: pip install 'mlflow-utils[argo]'") from error

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The parameters of each step, with the default of those that may be left out. A model comes as an artifact.
STEPS: Final[Mapping[str, Mapping[str, str | None]]] = {
    name: {option: one.default for option, one in step.options.items() if one.kind != "folder"} for name, step in _step_options.STEPS.items()
}
WITHOUT_RESULT: Final = frozenset(name for name, step in _step_options.STEPS.items() if not step.has_result)
MODEL_PATH: Final = "/mnt/model"
RESULT_PATH: Final = "/tmp/mlflow-utils/result"
USER: Final = 65532


def workflow_template(
    image: str,
    tracking_uri: str | None = None,
    *,
    secret: str | None = None,
    name: str = "mlflow-steps",
    namespace: str | None = None,
    service_account: str | None = None,
) -> WorkflowTemplate:
    """The WorkflowTemplate with all the steps.

    ``image`` has Python and this package; a workflow may name another by the parameter ``image`` of each step. ``tracking_uri`` is the server's;
    left out, it comes from the workflow's ``templateDefaults``, as of the file that the Ansible role mlflow_clients writes for a namespace.
    ``secret`` is a Kubernetes Secret of the workflow's namespace whose keys are environment variables of MLflow (MLFLOW_TRACKING_USERNAME,
    MLFLOW_TRACKING_PASSWORD, …); the pods get it by reference. ``service_account`` runs the pods, and may write ``workflowtaskresults``.
    """
    templates: list[Any] = [_step(step, parameters, image, tracking_uri, secret) for step, parameters in STEPS.items()]
    return WorkflowTemplate(name=name, namespace=namespace, service_account_name=service_account, templates=templates)


def _step(step: str, parameters: Mapping[str, str | None], image: str, tracking_uri: str | None, secret: str | None) -> Container:
    """One template."""
    inputs: list[Any] = [Parameter(name="image", default=image)]
    arguments = [step, f"--output={RESULT_PATH}"]
    for parameter, default in parameters.items():
        inputs.append(Parameter(name=parameter) if default is None else Parameter(name=parameter, default=default))
        # In one word, so that a value that begins with a dash is no option.
        arguments.append(f"--{parameter}={{{{inputs.parameters.{parameter}}}}}")
    if step == "log-model":
        inputs.append(Artifact(name="model", path=MODEL_PATH))
        arguments.append(f"--model={MODEL_PATH}")
    return Container(
        name=step,
        image="{{inputs.parameters.image}}",
        command=["python", "-m", "mlflow_utils.steps"],
        args=arguments,
        inputs=inputs,
        outputs=[] if step in WITHOUT_RESULT else [Parameter(name="result", value_from=ValueFrom(path=RESULT_PATH))],
        env=[
            *([Env(name="MLFLOW_TRACKING_URI", value=tracking_uri)] if tracking_uri else []),
            Env(name="CONTAINER_IMAGE", value="{{inputs.parameters.image}}"),  # becomes the run's tag `image`
            Env(name="HOME", value="/tmp"),
        ],
        env_from=[SecretEnvFrom(name=secret)] if secret else [],
        volumes=[EmptyDirVolume(name="tmp", mount_path="/tmp")],
        pod_security_context=PodSecurityContext(run_as_non_root=True, run_as_user=USER, fs_group=USER, seccomp_profile=_seccomp()),
        security_context=SecurityContext(
            run_as_non_root=True,
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=Capabilities(drop=["ALL"]),
            seccomp_profile=_seccomp(),
        ),
    )


def _seccomp() -> SeccompProfile:
    return SeccompProfile(type="RuntimeDefault")
