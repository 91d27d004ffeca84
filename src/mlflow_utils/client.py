"""A configured MLflow client: settings from the environment, a file or arguments, a health check, and the environment of child processes.

Importing this module reads and changes nothing. `connect` does: see there.
"""
from __future__ import annotations

import base64
import functools
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ._authorization import Authorization, ServiceAccount, is_service_account

if TYPE_CHECKING:
    import requests
    from mlflow import MlflowClient

#: The homelab's defaults, in this one place. Everything that is not here has no default but "not set".
HOMELAB: Final[Mapping[str, Any]] = {
    "tracking_uri": "http://mlflow.mlflow.svc.cluster.local",  # the Service `mlflow` of the namespace `mlflow`
    "timeout": 30.0,
    "retries": 3,
    "experiment": "Default",
    "s3_region": "us-east-1",
}

#: The environment variables of each setting, MLflow's and boto3's own names; the first one is written, the first that is set is read.
VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "tracking_uri": ("MLFLOW_TRACKING_URI",),
    "registry_uri": ("MLFLOW_REGISTRY_URI",),
    "username": ("MLFLOW_TRACKING_USERNAME",),
    "password": ("MLFLOW_TRACKING_PASSWORD",),
    "token": ("MLFLOW_TRACKING_TOKEN",),
    "ca_path": ("MLFLOW_TRACKING_SERVER_CERT_PATH",),
    "client_cert": ("MLFLOW_TRACKING_CLIENT_CERT_PATH",),
    "timeout": ("MLFLOW_HTTP_REQUEST_TIMEOUT",),
    "retries": ("MLFLOW_HTTP_REQUEST_MAX_RETRIES",),
    "experiment": ("MLFLOW_EXPERIMENT_NAME",),
    "s3_endpoint": ("MLFLOW_S3_ENDPOINT_URL",),
    "s3_access_key": ("AWS_ACCESS_KEY_ID",),
    "s3_secret_key": ("AWS_SECRET_ACCESS_KEY",),
    "s3_region": ("AWS_DEFAULT_REGION", "AWS_REGION"),
    "s3_ca_path": ("AWS_CA_BUNDLE",),
}
#: Names the settings file where `load_settings` is given none.
FILE_VARIABLE: Final = "MLFLOW_UTILS_FILE"


class SettingsError(ValueError):
    """A setting is wrong. The message is one sentence that names the setting, where it came from and the remedy, and never a secret."""


def from_variables(variables: Mapping[str, str | None]) -> dict[str, tuple[str, str]]:
    """The settings that ``variables`` hold, each as (variable, value). An empty variable counts as not set.

    >>> from_variables({"AWS_REGION": "eu-west-1", "MLFLOW_TRACKING_URI": "", "HOME": "/home/a"})
    {'s3_region': ('AWS_REGION', 'eu-west-1')}
    """
    found = {}
    for field, names in VARIABLES.items():
        for name in names:
            value = variables.get(name)
            if value:
                found[field] = (name, value)
                break
    return found


class _Environment(PydanticBaseSettingsSource):
    """The process's environment, by the names of `VARIABLES`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        _variable, value = from_variables(os.environ).get(field_name, ("", None))
        return value, field_name, False

    def __call__(self) -> dict[str, Any]:
        return {field: value for field, (_variable, value) in from_variables(os.environ).items()}


class Settings(BaseSettings):
    """How to reach one MLflow server. Immutable; `load_settings` makes one, and its docstring has the order of precedence.

    Secrets are ``SecretStr``: they print as stars, and ``get_secret_value()`` gives them.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    tracking_uri: str = Field(HOMELAB["tracking_uri"], description="URL of the MLflow server, http or https, with its path prefix if it has one.")
    registry_uri: str | None = Field(None, description="URL of the model registry where it is another server than the tracking one.")
    username: str | None = Field(None, description="User name of basic authentication.")
    password: SecretStr | None = Field(None, description="Password of basic authentication.")
    token: SecretStr | None = Field(None, description="Bearer token, instead of user name and password.")
    ca_path: Path | None = Field(None, description="PEM file of the certificate authority that signed the server's certificate.")
    client_cert: Path | None = Field(None, description="PEM file with the client's certificate and key.")
    timeout: float = Field(HOMELAB["timeout"], gt=0, description="Seconds to wait for an answer to one request.")
    retries: int = Field(HOMELAB["retries"], ge=0, le=10, description="Tries after the first one; MLflow refuses more than ten.")
    experiment: str = Field(HOMELAB["experiment"], min_length=1, max_length=500, description="Experiment of runs that name none.")
    s3_endpoint: str | None = Field(None, description="URL of the S3 server; not needed where the server proxies artifacts.")
    s3_access_key: str | None = Field(None, description="Access key of S3.")
    s3_secret_key: SecretStr | None = Field(None, description="Secret key of S3.")
    s3_region: str = Field(HOMELAB["s3_region"], description="Region of S3.")
    s3_ca_path: Path | None = Field(None, description="PEM file of the certificate authority of the S3 server.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before what the caller gives."""
        return _Environment(settings_cls), init_settings

    @field_validator("tracking_uri", "registry_uri", "s3_endpoint")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be a URL that starts with http:// or https:// and names a host")
        if parts.username or parts.password:
            raise ValueError("must not hold credentials; give them as username and password")
        return value.rstrip("/")

    @field_validator("ca_path", "client_cert", "s3_ca_path")
    @classmethod
    def _file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("must name a file that exists")
        return value

    @model_validator(mode="after")
    def _credentials(self) -> Settings:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together; give both or neither")
        if self.token is not None and self.username is not None:
            raise ValueError("token and username exclude one another; give one of them")
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise ValueError("s3_access_key and s3_secret_key belong together; give both or neither")
        return self

    def environment(self) -> dict[str, str]:
        """These settings as environment variables for a child process, secrets in clear text; what is not set is left out."""
        found = {}
        for field, names in VARIABLES.items():
            value = getattr(self, field)
            if field == "s3_region" and self.s3_endpoint is None:
                continue  # it would change the region of other users of AWS in the process
            if value is not None:
                # MLflow reads the time-out as a whole number.
                text = value.get_secret_value() if isinstance(value, SecretStr) else str(max(1, round(value)) if field == "timeout" else value)
                found[names[0]] = text
        return found


def load_settings(file: Path | str | None = None, **arguments: Any) -> Settings:
    """The settings from the environment, a file and arguments; where two give a setting, the earlier of these three wins.

    The environment comes first because it belongs to whoever operates the process: a cluster's pod specification, a CI job or a shell can
    then point any program at another server without a change to its code or to a file in its image. What a programmer writes as an argument
    is thus a default.

    ``file`` (or the file that the variable MLFLOW_UTILS_FILE names) is either YAML or JSON, by the suffix ``.yml``, ``.yaml`` or ``.json``, with
    the names of the fields of `Settings`; or, with any other suffix, lines ``NAME=value``, with or without ``export``, with the names of
    the environment variables, others being passed over. An argument that is None counts as not given.

    Raises `SettingsError`.

    >>> load_settings(tracking_uri="mlflow.example.org")
    Traceback (most recent call last):
    mlflow_utils.client.SettingsError: the argument tracking_uri is 'mlflow.example.org': it must be a URL that starts with http:// or ...
    """
    path = Path(file) if file is not None else Path(named) if (named := os.environ.get(FILE_VARIABLE)) else None
    given = {name: value for name, value in arguments.items() if value is not None}
    read = _read(path) if path else {}
    below = {**_below(read, given), **read}
    try:
        return Settings(**_below(from_variables(os.environ), below))
    except ValidationError as error:
        raise SettingsError("; ".join(_sentences(error, read, path))) from None


def _below(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> dict[str, Any]:
    """``lower`` without the credentials of another kind than those of ``upper``: a token there replaces a user name here, and the other way round.

    >>> _below({"token": "t"}, {"username": "u", "password": "p", "timeout": 5})
    {'timeout': 5}
    """
    pair = {"username", "password"}
    replaced = (pair if "token" in upper else set()) | ({"token"} if pair & upper.keys() else set())
    return {name: value for name, value in lower.items() if name not in replaced}


def _read(path: Path) -> dict[str, Any]:
    """The settings that a file holds. Raises `SettingsError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SettingsError(f"the settings file {path} cannot be read ({reason}); name one that can") from None
    if path.suffix not in {".yml", ".yaml", ".json"}:
        from io import StringIO  # noqa: PLC0415 - both are needed for such a file alone

        from dotenv import dotenv_values  # noqa: PLC0415

        return {field: value for field, (_name, value) in from_variables(dotenv_values(stream=StringIO(text), interpolate=False)).items()}
    import yaml  # noqa: PLC0415 - needed for such a file alone

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        # What the parser says may quote a secret.
        raise SettingsError(f"the settings file {path} is not valid {path.suffix[1:].upper()}; correct it") from None
    if not isinstance(values, dict):
        raise SettingsError(f"the settings file {path} must hold a mapping of settings to values; it holds something else")
    return {str(name): value for name, value in values.items() if value is not None}


def _sentences(error: ValidationError, read: Mapping[str, Any], path: Path | None) -> Iterator[str]:
    """What is wrong, a sentence each, without secrets."""
    set_by = from_variables(os.environ)
    for problem in error.errors(include_url=False, include_context=False):
        reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if not problem["loc"]:
            yield reason
            continue
        name = str(problem["loc"][0])
        origin = f"the variable {set_by[name][0]}" if name in set_by else f"{name} in {path}" if name in read else f"the argument {name}"
        if problem["type"] == "extra_forbidden":
            yield f"{origin} is not a setting; the settings are {', '.join(VARIABLES)}"
        else:
            shown = "a secret" if name in {"password", "token", "s3_secret_key"} else repr(problem["input"])
            yield f"{origin} is {shown}: it {reason}" if reason.startswith(("must", "should")) else f"{origin} is {shown}: {reason}"


@dataclass(frozen=True)
class Health:
    """What a health check found. ``latency`` is the seconds that the API took to answer; ``version`` is empty where the server did not say it."""

    reachable: bool
    version: str
    latency: float
    message: str


class Client:
    """A client of one MLflow server. `connect` makes one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def mlflow(self) -> MlflowClient:
        """MLflow's own client, made on first use."""
        from mlflow import MlflowClient  # noqa: PLC0415 - costs two seconds

        return MlflowClient(tracking_uri=self.settings.tracking_uri, registry_uri=self.settings.registry_uri or self.settings.tracking_uri)

    def environment(self) -> dict[str, str]:
        """The environment variables by which a child process reaches the same server, secrets in clear text."""
        return self.settings.environment()

    def health(self) -> Health:
        """Ask the server for its version, and its API for one experiment with these credentials, which reaches the database too.

        One try each. It does not raise: what is wrong stands in ``message``, one sentence with the remedy.
        """
        import requests  # noqa: PLC0415 - not needed before

        start = time.perf_counter()
        try:
            with session(self.settings) as http:
                uri, seconds = self.settings.tracking_uri, self.settings.timeout
                answer = http.post(f"{uri}/api/2.0/mlflow/experiments/search", json={"max_results": 1}, timeout=seconds)
                latency = time.perf_counter() - start
                version = http.get(f"{uri}/version", timeout=seconds)
        except requests.RequestException as error:
            return Health(False, "", time.perf_counter() - start, _unreachable(self.settings, error))
        number = version.text.strip() if version.ok and len(version.text) < 40 else ""
        if answer.ok and "json" in answer.headers.get("content-type", ""):
            return Health(True, number, latency, f"MLflow {number or 'of unknown version'} answers at {self.settings.tracking_uri}")
        return Health(False, number, latency, _refused(self.settings, answer))


def session(settings: Settings) -> requests.Session:
    """An HTTP session with the credentials, CA and client certificate of ``settings``, which tries once and keeps connections alive.

    Without credentials, those that ``MLFLOW_TRACKING_AUTH`` names are sent, or those of ``mlflow-utils login``, if there are any.
    """
    import requests  # noqa: PLC0415 - not needed to read settings

    from .login.logins import file  # noqa: PLC0415
    from .login.provider import bearer  # noqa: PLC0415

    http = requests.Session()
    # As a function, which ~/.netrc does not replace.
    if settings.username is not None and settings.password is not None:
        pair = f"{settings.username}:{settings.password.get_secret_value()}"
        http.auth = Authorization(f"Basic {base64.b64encode(pair.encode()).decode()}")
    elif settings.token is not None:
        http.auth = Authorization(f"Bearer {settings.token.get_secret_value()}")
    elif is_service_account():
        http.auth = ServiceAccount()
    elif file().exists():
        # Asked at each request, since it is renewed.
        http.auth = lambda request: Authorization(f"Bearer {token}")(request) if (token := bearer(settings.tracking_uri)) else request
    if settings.ca_path is not None:
        # By request: what is set for the session gives way to REQUESTS_CA_BUNDLE.
        http.request = functools.partial(http.request, verify=str(settings.ca_path))  # type: ignore[method-assign]
    if settings.client_cert is not None:
        http.cert = str(settings.client_cert)
    return http


def _unreachable(settings: Settings, error: Exception) -> str:
    """Why there was no answer, and what to do."""
    import requests  # noqa: PLC0415 - already there

    where = settings.tracking_uri
    if isinstance(error, requests.exceptions.SSLError):
        return f"the certificate of {where} is not trusted; set ca_path (MLFLOW_TRACKING_SERVER_CERT_PATH) to the file of its authority"
    if isinstance(error, requests.Timeout):
        return f"{where} did not answer within {settings.timeout:g} s; check the server or raise timeout (MLFLOW_HTTP_REQUEST_TIMEOUT)"
    return f"no server answers at {where}; check tracking_uri (MLFLOW_TRACKING_URI) and that the server runs"


def _refused(settings: Settings, answer: requests.Response) -> str:
    """Why the API did not answer as it should, and what to do."""
    where = settings.tracking_uri
    if answer.status_code == 401:
        return f"{where} refuses the credentials; check username and password (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD) or token"
    if answer.status_code == 403:
        return f"{where} answers 403; the user lacks a permission, or the server does not allow this host name (its allowed hosts)"
    if answer.status_code == 503:
        return f"{where} answers 503; the server runs and its database does not answer"
    if answer.ok:
        return f"{where} answers with something that is not MLflow's API, a login page perhaps; check tracking_uri or use an address behind the login"
    return f"{where} answers {answer.status_code}; check tracking_uri, its path prefix included, and the server's log"


def connect(settings: Settings | None = None, **arguments: Any) -> Client:
    """A client, with MLflow's process-wide state set to match it.

    ``settings`` or, without them, what `load_settings` makes of ``arguments``.

    MLflow keeps its tracking and registry URI, its credentials and its time-outs for the whole process: the fluent functions
    (``mlflow.start_run``, autologging) and every ``MlflowClient`` read them there, the credentials from ``os.environ`` at each request. So this
    function calls ``mlflow.set_tracking_uri`` and ``mlflow.set_registry_uri`` and writes `Settings.environment` to ``os.environ``, where it also
    takes away the tracking server's credentials and certificates that the settings do not have. One process therefore has one set of credentials
    at a time: the last call counts.

    Nothing is sent to the server. Raises `SettingsError`.
    """
    if settings is None:
        settings = load_settings(**arguments)
    elif arguments:
        raise SettingsError(f"connect takes settings or arguments, not both; put {', '.join(arguments)} into the settings")
    import mlflow  # noqa: PLC0415 - costs two seconds

    for field in ("username", "password", "token", "ca_path", "client_cert"):
        os.environ.pop(VARIABLES[field][0], None)
    os.environ.update(settings.environment())
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_registry_uri(settings.registry_uri or settings.tracking_uri)
    return Client(settings)
