"""The commands."""
from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import __version__
from .._alias_or_stage import CHAMPION
from .._selection import Direction, checked_direction
from ..client import VARIABLES, Client, Settings, connect, load_settings
from .completion import names
from .errors import Code, UsageError, explained
from .output import Format, paragraph, progress, safe, serialised, table, write

if TYPE_CHECKING:
    from ..experiment_comparison import Comparison
    from ..model_registry import ModelRegistry

COMMAND = "mlflow-utils"
SECRETS = tuple(VARIABLES[field][0] for field, value in Settings.model_fields.items() if "SecretStr" in str(value.annotation))

app = typer.Typer(
    name=COMMAND,
    help="Experiments, runs and registered models of one MLflow server.",
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong option or setting, 3 no answer or wrong credentials, 4 not there, 5 not promoted.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class State:
    """What the options before the command say, and the connection, made when a command needs it."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self.output = Format.TABLE
        self.connection: Client | None = None

    @property
    def client(self) -> Client:
        """The configured client; raises SettingsError."""
        if self.connection is None:
            self.connection = connect(load_settings(self.file))
        return self.connection

    @property
    def registry(self) -> ModelRegistry:
        """The registry of the same server."""
        from ..model_registry import ModelRegistry  # noqa: PLC0415 - not every command needs it

        return ModelRegistry(self.client)


def _models(context: typer.Context, incomplete: str) -> list[str]:
    return names("registered_models", incomplete)


def _experiments(context: typer.Context, incomplete: str) -> list[str]:
    return names("experiments", incomplete)


Output = Annotated[Format | None, typer.Option("--output", "-o", help="Output format.", show_default="table")]
Experiments = Annotated[list[str] | None, typer.Argument(help="Names or IDs; all experiments if none is given.", autocompletion=_experiments)]
Model = Annotated[str, typer.Argument(help="Name of the registered model.", autocompletion=_models)]
Alias = Annotated[str | None, typer.Option(help="The alias to move.", show_default=CHAMPION)]
Stage = Annotated[str | None, typer.Option(help="A stage instead of an alias: Staging or Production.")]
Filter = Annotated[str, typer.Option(help="MLflow's search syntax: \"metrics.accuracy > 0.8 and params.depth = '3'\".")]


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Settings file; environment variables take precedence.")] = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="Output format.")] = Format.TABLE,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)] = False,
) -> None:
    """Experiments, runs and registered models of one MLflow server."""
    state: State = context.obj
    state.file, state.output = file, output


def _form(context: typer.Context, output: Format | None) -> Format:
    state: State = context.obj
    return output or state.output


@app.command()
def experiments(context: typer.Context, output: Output = None) -> None:
    """List the experiments."""
    from .._runs import all_experiments  # noqa: PLC0415 - costs two seconds

    columns = ("experiment_id", "name", "artifact_location")
    write([{column: getattr(one, column) for column in columns} for one in all_experiments(context.obj.client)], _form(context, output), columns)


@app.command()
def runs(
    context: typer.Context,
    experiments: Experiments = None,
    filter: Filter = "",
    order_by: Annotated[list[str] | None, typer.Option(help="\"metrics.accuracy DESC\"; can be repeated.", show_default="newest first")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of runs to list.")] = 100,
    output: Output = None,
) -> None:
    """List the runs of experiments, newest first."""
    from .. import _runs  # noqa: PLC0415 - costs two seconds

    client: Client = context.obj.client
    found = _runs.find_experiments(client, experiments) if experiments else _runs.all_experiments(client)
    names = {experiment.experiment_id: experiment.name for experiment in found}
    rows = []
    with progress("runs read") as count:
        for run in _runs.iter_runs(client, list(names), filter=filter, order_by=order_by or ["attributes.start_time DESC"], limit=limit):
            rows.append(_runs.row(run, names[run.info.experiment_id]))
            count(len(rows))
    metrics = sorted({key for row in rows for key in row if key.startswith("metrics.")})
    write(rows, _form(context, output), ("run_id", "run_name", "experiment", "status", "start_time", *metrics))


@app.command()
def compare(
    context: typer.Context,
    experiments: Experiments = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", "-m", help="NAME or NAME:min (lower is better); repeat for a Pareto front.")] = None,
    filter: Filter = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of runs to read.", show_default="all")] = None,
    to: Annotated[Path | None, typer.Option(help="Write a report instead of printing: .md, .html or .csv.")] = None,
    output: Output = None,
) -> None:
    """Compare runs: the best by each metric, the Pareto front of several metrics, and differing parameters."""
    from ..experiment_comparison import compare as read  # noqa: PLC0415 - of the extra `compare`

    objectives = dict(_objective(one) for one in metric or [])
    if to is not None and to.suffix not in (".md", ".html", ".csv"):
        raise UsageError(f"--to is {str(to)!r}; its name must end with .md, .html or .csv")
    with progress("runs read") as count:
        comparison = read(context.obj.client, experiments or None, filter=filter, limit=limit, progress=count)
    if to is None:
        _print_comparison(comparison, objectives, _form(context, output))
    elif to.suffix == ".csv":
        comparison.to_csv(to)
    else:
        (comparison.to_markdown if to.suffix == ".md" else comparison.to_html)(to, objectives)


def _objective(words: str) -> tuple[str, Direction]:
    """The metric and its direction in ``NAME``, ``NAME:max`` or ``NAME:min``."""
    name, _, direction = words.rpartition(":")
    return (name, checked_direction(direction)) if name and direction in ("max", "min") else (words, "max")


def _print_comparison(comparison: Comparison, objectives: Mapping[str, Direction], form: Format) -> None:
    rows = _rows(comparison.table)
    best = {metric: _rows(comparison.best(metric, direction)) for metric, direction in objectives.items()}
    front = list(comparison.pareto_front(objectives).index) if len(objectives) > 1 else []
    differences = comparison.parameter_differences()
    if form is not Format.TABLE:
        winners = {metric: [row["run_id"] for row in found] for metric, found in best.items()}
        parameters = differences.to_dict("index")
        write({"runs": rows, "best": winners, "pareto_front": front, "parameter_differences": parameters}, form)
        return
    metrics = [f"metrics.{name}" for name in objectives] or [f"metrics.{name}" for name in comparison.metrics]
    columns = ("run_id", "run_name", "experiment", "status", *metrics, *(f"params.{name}" for name in differences.index))
    table(rows, columns, "Runs")
    for metric, found in best.items():
        table(found, columns, f"Best by {metric} ({objectives[metric]})")
    if len(objectives) > 1:
        table([row for row in rows if row["run_id"] in front], columns, "Pareto front")


def _rows(frame: Any) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.reset_index().to_dict("records")]


@app.command()
def models(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The model whose versions to list.", show_default="all models", autocompletion=_models)] = None,
    output: Output = None,
) -> None:
    """List the registered models, or the versions of one."""
    registry: ModelRegistry = context.obj.registry
    if name is None:
        found = [
            {
                "name": model.name,
                "latest_version": max((int(version.version) for version in model.latest_versions), default=None),
                "aliases": {alias: str(version) for alias, version in sorted(model.aliases.items())},
                "tags": dict(model.tags),
                "description": model.description or "",
            }
            for model in registry.models()
        ]
        write(found, _form(context, output), ("name", "latest_version", "aliases", "description"))
        return
    aliases = registry.model(name).aliases
    versions = [
        {
            "version": str(version.version),
            "aliases": sorted(alias for alias, held in aliases.items() if str(held) == str(version.version)),
            "stage": version.current_stage,
            "run_id": version.run_id or None,
            "source": version.source,
            "tags": dict(version.tags),
            "description": version.description or "",
        }
        for version in registry.versions(name)
    ]
    write(versions, _form(context, output), ("version", "aliases", "stage", "run_id", "source"))


@app.command()
def promote(
    context: typer.Context,
    model: Model,
    version: Annotated[str, typer.Argument(help="Version number, @alias, stage, or latest.")],
    alias: Alias = None,
    stage: Stage = None,
    metric: Annotated[str | None, typer.Option("--metric", "-m", help="NAME or NAME:min: promote only if this metric is better.")] = None,
    min_improvement: Annotated[float, typer.Option(min=0.0, help="Minimum improvement, in the metric's unit.")] = 0.0,
    output: Output = None,
) -> None:
    """Move the alias champion to a version if it is better than the current one; exit code 5 if it is not."""
    name, direction = _objective(metric) if metric is not None else (None, "max")
    done = context.obj.registry.promote(model, version, alias=alias, stage=stage, metric=name, direction=direction, min_improvement=min_improvement)
    write(asdict(done), _form(context, output), None)
    if not done.promoted and done.previous != done.version:
        raise typer.Exit(Code.NOT_PROMOTED)


@app.command()
def rollback(context: typer.Context, model: Model, alias: Alias = None, stage: Stage = None, output: Output = None) -> None:
    """Move the alias back to the version that had it before."""
    write(asdict(context.obj.registry.rollback(model, alias=alias, stage=stage)), _form(context, output))


@app.command("serve-manifest")
def serve_manifest(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Name of the registered model, or models:/NAME@ALIAS.", autocompletion=_models)],
    version: Annotated[str, typer.Argument(help="Version number, @alias, stage, or latest.")] = f"@{CHAMPION}",
    artifact_root: Annotated[
        str | None, typer.Option(help="Where KServe reads what the server proxies: s3://bucket/path, or pvc://claim for a volume.")
    ] = None,
    service_name: Annotated[str | None, typer.Option(help="Name of the InferenceService.", show_default="derived from the model's")] = None,
    namespace: Annotated[str | None, typer.Option(help="Namespace of the InferenceService.")] = None,
    service_account: Annotated[str | None, typer.Option(help="Service account with the storage credentials.")] = None,
    output: Output = None,
) -> None:
    """Print the KServe InferenceService of a version, for kubectl apply -f -: YAML, or JSON."""
    made = context.obj.registry.inference_service(
        model, version, artifact_root=artifact_root, service_name=service_name, namespace=namespace, service_account=service_account
    )
    for sentence in context.obj.registry.serving_advice(model, version):
        print(f"{COMMAND}: note: {sentence}", file=sys.stderr)
    sys.stdout.write(serialised(made, _form(context, output)))


@app.command()
def health(context: typer.Context, output: Output = None) -> None:
    """Check that the server works; exit code 3 if it does not."""
    found = Client(load_settings(context.obj.file)).health()
    write(asdict(found), _form(context, output))
    if not found.reachable:
        raise typer.Exit(Code.NO_ANSWER)


@app.command()
def doctor(context: typer.Context, output: Output = None) -> None:
    """Find what keeps this client from working with its server, and what to do; exit code 3 if something does. Writes nothing."""
    from ..doctor import Status, diagnose  # noqa: PLC0415 - not every command needs it

    diagnosis = diagnose(load_settings(context.obj.file))
    form = _form(context, output)
    if form is Format.TABLE:
        rows = [{"check": found.id, "status": found.status.value, "observed": found.observed} for found in diagnosis.findings]
        table(rows, ("check", "status", "observed"))
        for found in diagnosis.findings:
            if found.cause:
                told = {"": found.id, "expected": found.expected, "cause": found.cause, "remedy": found.remedy, "see": found.link}
                paragraph(told)
    else:
        found_all = [{**asdict(found), "status": found.status.value} for found in diagnosis.findings]
        write({"server": diagnosis.server, "is_healthy": diagnosis.is_healthy, "seconds": diagnosis.seconds, "findings": found_all}, form)
    if any(found.status is not Status.OK for found in diagnosis.findings):
        print(f"{COMMAND}: {diagnosis.summary}", file=sys.stderr)
    if not diagnosis.is_healthy:
        raise typer.Exit(Code.NO_ANSWER)


@app.command()
def login(
    context: typer.Context,
    issuer: Annotated[str, typer.Option(envvar="MLFLOW_UTILS_OIDC_ISSUER", help="URL of the identity provider; for Keycloak, with its realm.")],
    client_id: Annotated[str, typer.Option(envvar="MLFLOW_UTILS_OIDC_CLIENT_ID", help="The public client, with the device flow enabled.")] = "mlflow",
    scope: Annotated[str, typer.Option(help="Scopes to ask for; offline_access for a login of weeks.")] = "openid",
    ca: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="PEM file of the CA of the identity provider.")] = None,
) -> None:
    """Log in to the server by its identity provider, in a browser on any device; every MLflow client of this user is logged in then."""
    from .. import login as logins  # noqa: PLC0415 - not every command needs it

    settings = load_settings(context.obj.file)

    def show(code: logins.Code) -> None:
        print(safe(f"Open {code.address} in a browser, and confirm the code {code.user_code}"), file=sys.stderr)

    made = logins.login(settings.tracking_uri, issuer, client_id, show, scope=scope, ca_path=str(ca or ""))
    print(f"Logged in to {made.server}")
    if settings.username or settings.token:
        print(f"{COMMAND}: note: the credentials in the environment or the settings file take precedence; unset them", file=sys.stderr)


@app.command()
def logout(context: typer.Context) -> None:
    """Delete the login to the server, and end its session at the identity provider."""
    from .. import login as logins  # noqa: PLC0415 - not every command needs it

    uri = load_settings(context.obj.file).tracking_uri
    print(f"Logged out of {uri}" if logins.logout(uri) else f"There is no login to {uri}")


@app.command()
def token(context: typer.Context) -> None:
    """Print an access token of the login to the server, for a program that is no MLflow client: -H "Authorization: Bearer $(mlflow-utils token)"."""
    from .. import login as logins  # noqa: PLC0415 - not every command needs it

    uri = load_settings(context.obj.file).tracking_uri
    found = logins.access_token(uri)
    if found is None:
        raise logins.LoginError(f"there is no login to {uri}; run mlflow-utils login")
    print(found)


@app.command()
def env(
    context: typer.Context,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Print passwords, tokens and keys too.")] = False,
    output: Output = None,
) -> None:
    """Print the client's environment variables as export lines, for eval "$(mlflow-utils env --show-secrets)"."""
    variables = load_settings(context.obj.file).environment()
    hidden = [name for name in variables if name in SECRETS and not show_secrets]
    shown = {name: value for name, value in variables.items() if name not in hidden}
    form = _form(context, output)
    if form is Format.TABLE:
        print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in shown.items()))
    else:
        write(shown, form)
    if hidden:
        print(f"{COMMAND}: left out {', '.join(hidden)}; --show-secrets prints secrets too", file=sys.stderr)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments``, those of the process where None; its exit code. Errors go to stderr, one sentence each."""
    import logging  # noqa: PLC0415 - what libraries log is not the command's output

    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    command = typer.main.get_command(app)
    state = State()
    try:
        code = int(command.main(args=list(arguments) if arguments is not None else None, prog_name=COMMAND, standalone_mode=False, obj=state) or 0)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        code, sentence = explained(error, state.file)
        if sentence:
            print(f"{COMMAND}: {sentence}", file=sys.stderr)
    return code
