"""What each observation means. Pure: no function here asks anything."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from .findings import Verdict, failed, passed, warning

#: Days of a certificate's life that are left when it is time to renew it.
FEW_DAYS: Final = 14
#: Seconds by which clocks may differ. S3 refuses signatures that differ by fifteen minutes, and tokens have a minute's grace at most.
FEW_SECONDS: Final = 60
CREDENTIALS: Final = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, or run mlflow-utils login"
BEHIND_LOGIN: Final = "run mlflow-utils login, set MLFLOW_TRACKING_TOKEN, or use the address of the cluster's Service"
REDIRECTIONS: Final = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Server:
    """The server's address as it is configured. ``proxy`` is that of an HTTP proxy through which requests to it go, without credentials."""

    uri: str
    proxy: str = ""

    @property
    def host(self) -> str:
        """Its host name or address."""
        return urlsplit(self.uri).hostname or ""

    @property
    def port(self) -> int:
        """Its port."""
        parts = urlsplit(self.uri)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def is_tls(self) -> bool:
        """Whether it is spoken to by TLS."""
        return urlsplit(self.uri).scheme == "https"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; ``body`` is its beginning. Header names are in lower case."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    #: The JSON object that it holds, empty where it holds none.
    content: Mapping[str, Any] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """MLflow's error code."""
        return str(self.content.get("error_code", ""))

    @property
    def message(self) -> str:
        """What MLflow says, or else the beginning of the body, on one line."""
        return " ".join(str(self.content.get("message") or self.body).split())[:300]

    @property
    def is_page(self) -> bool:
        """Whether it is a page for a browser."""
        return "html" in self.headers.get("content-type", "")


def judge_name(server: Server, addresses: Sequence[str], error: str) -> Verdict:
    """``addresses`` are those that the resolver gives for the host, none where it gives ``error``."""
    if addresses:
        return passed(f"{server.host} is {', '.join(addresses)}")
    observed, expected = f"{server.host}: {error}", "an address"
    if re.search(r"\.svc(\.|$)", server.host) or "." not in server.host:
        cause = "this looks like the name of a Kubernetes Service, which resolves within its cluster only"
        remedy = "in the cluster, check the namespace in the name; elsewhere, use the public address, or kubectl port-forward, as MLFLOW_TRACKING_URI"
        return failed(observed, expected, cause, remedy)
    return failed(
        observed, expected, "DNS does not know the name, or cannot be reached", "check the name in MLFLOW_TRACKING_URI, and this machine's DNS server"
    )


def judge_connection(server: Server, error: str) -> Verdict:
    """``error`` is why no TCP connection came about, empty where one did: ``refused``, ``timeout``, or the system's words."""
    where = f"{server.host}:{server.port}"
    if not error:
        return passed(f"{where} accepts connections")
    expected = "a connection"
    if error == "refused":
        remedy = "check the port in MLFLOW_TRACKING_URI; start the server (embedded: make up; Kubernetes: kubectl get pods)"
        return failed(f"{where} refuses connections", expected, "nothing listens on this port", remedy)
    if error == "timeout":
        cause = "packets are dropped on the way: a firewall, a NetworkPolicy, or a host that is down"
        return failed(
            f"{where} does not answer", expected, cause, "on Kubernetes, allow this client in mlflow_server_callers; elsewhere, check the firewall"
        )
    return failed(
        f"{where}: {error}", expected, "the network does not reach this address", "check the address in MLFLOW_TRACKING_URI, and the routes"
    )


def judge_certificate(server: Server, days: float | None, error: str, trusted: str) -> Verdict:
    """``days`` are left of the certificate; ``error`` is why the handshake failed, in OpenSSL's words; ``trusted`` says which CAs are trusted."""
    if not server.is_tls:
        return passed("none is needed: the address begins with http://")
    if not error and days is not None:
        observed = f"it is trusted, and valid for {days:.0f} more days"
        if days > FEW_DAYS:
            return passed(observed)
        remedy = "renew it: run site.yml, or see why cert-manager or the CronJob did not"
        return warning(observed, f"more than {FEW_DAYS} days", "it has not been renewed", remedy)
    expected = f"a certificate for {server.host} by a CA of {trusted}"
    if "expired" in error:
        return failed(
            error, expected, "the certificate has expired, or this machine's clock is wrong", "renew the certificate: run site.yml; check date"
        )
    if "ostname mismatch" in error or "address mismatch" in error:
        return failed(
            error, expected, "the certificate is for another name", "use a name that it is for in MLFLOW_TRACKING_URI, or issue one for this name"
        )
    if "WRONG_VERSION_NUMBER" in error or "record layer failure" in error:
        return failed(
            error, expected, "the server speaks HTTP without TLS on this port", "begin MLFLOW_TRACKING_URI with http://, or use the port of https"
        )
    if "self-signed" in error or "self signed" in error or "issuer" in error:
        remedy = "set MLFLOW_TRACKING_SERVER_CERT_PATH to the PEM file of the CA that signed it"
        return failed(error, expected, f"its CA is not among those of {trusted}", remedy)
    return failed(error, expected, "the TLS handshake failed", "see the log of the server or of the ingress controller")


def judge_server(server: Server, answer: Answer | None, error: str) -> Verdict:
    """``answer`` is that to GET /health, which MLflow answers with OK and without a login; None where there was ``error`` instead."""
    expected = "200 OK from /health"
    if answer is None:
        cause = f"the proxy {server.proxy} does not reach it" if server.proxy else "what listens there does not speak HTTP, or is overloaded"
        remedy = f"add {server.host} to NO_PROXY" if server.proxy else "check the port in MLFLOW_TRACKING_URI, and the server's log"
        return failed(error, expected, cause, remedy)
    if answer.status == 200 and answer.body.strip() == "OK":
        return passed(f"{server.uri}/health answers OK")
    observed = f"/health answers {answer.status}"
    if server.proxy:
        return failed(f"{observed} through the proxy {server.proxy}", expected, "the proxy answers, not MLflow", f"add {server.host} to NO_PROXY")
    if answer.status in REDIRECTIONS:
        return _redirected(server, observed, expected, answer.headers.get("location", ""))
    if answer.status == 401:
        remedy = f"use the address of the cluster's Service, or give the ingress's credentials: {CREDENTIALS}"
        return failed(observed, expected, "something in front of MLflow, such as the ingress, asks for a login", remedy)
    if answer.status in (502, 503, 504):
        cause = "the ingress or load balancer does not reach MLflow: no pod is ready, or a NetworkPolicy is in the way"
        return failed(observed, expected, cause, "kubectl get pods,endpointslices,ingress in MLflow's namespace; kubectl logs of what is not ready")
    if answer.status == 400 and "HTTPS" in answer.body:
        return failed(observed, expected, "the server expects TLS on this port", "begin MLFLOW_TRACKING_URI with https://")
    cause = "something else than MLflow answers here, or MLflow has a path prefix that the address lacks"
    return failed(observed, expected, cause, "check host, port and path of MLFLOW_TRACKING_URI")


def _redirected(server: Server, observed: str, expected: str, location: str) -> Verdict:
    target = urlsplit(location)
    if target.scheme == "https" and not server.is_tls and target.hostname in (server.host, None):
        remedy = f"set MLFLOW_TRACKING_URI to https://{server.host}"
        return failed(f"{observed}, to https", expected, "the address begins with http://, and the server wants https", remedy)
    return failed(
        f"{observed}, to {target.hostname or location}",
        expected,
        "a single sign-on in front of MLflow wants a login by browser",
        BEHIND_LOGIN,
    )


def judge_version(server: str, client: str) -> Verdict:
    """Both as MLflow writes them, 3.17.2; the server's is empty where it did not say.

    >>> judge_version("3.16.1", "3.17.2").status.value, judge_version("3.17.0", "3.16.1").status.value
    ('warning', 'ok')
    """
    observed = f"server {server or 'of unknown version'}, client {client}"
    theirs, ours = (_minor(text) for text in (server, client))
    if theirs is None or ours is None or (theirs[0] == ours[0] and theirs >= ours):
        return passed(observed)
    remedy = f"pip install 'mlflow-skinny=={theirs[0]}.{theirs[1]}.*', or mlflow likewise"
    if theirs[0] != ours[0]:
        return warning(observed, f"a client of version {theirs[0]}", "APIs differ between major versions", remedy)
    return warning(observed, f"a client of at most {theirs[0]}.{theirs[1]}", "the client may call what this server does not have yet", remedy)


def _minor(version: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None


def judge_clock(seconds: float | None) -> Verdict:
    """``seconds`` are those by which this machine's clock is ahead of the server's, None where the server did not say the time."""
    if seconds is None:
        return passed("the server does not tell the time")
    ahead = f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the server's"
    if abs(seconds) <= FEW_SECONDS:
        return passed("they agree")
    cause = "one of the two clocks is wrong; tokens, presigned addresses and the order of metrics depend on them"
    return warning(f"this machine's clock is {ahead}", f"at most {FEW_SECONDS} s", cause, "switch on NTP on both: timedatectl set-ntp true")


def judge_host(server: Server, answer: Answer | None, error: str) -> Verdict:
    """``answer`` is the API's to a search for experiments. MLflow compares the Host header on every path but /health and /version."""
    expected = "an answer of the API"
    if answer is None:
        cause = "the server ended the connection, or did not answer in time"
        return failed(error, expected, cause, "see the server's log; raise MLFLOW_HTTP_REQUEST_TIMEOUT")
    if answer.status == 403 and "Invalid Host header" in answer.body:
        remedy = f"add {server.host}:{server.port} to mlflow_server_extra_hosts (MLflow's --allowed-hosts), or use a name that is there"
        return failed(f"the API answers 403: {answer.message}", expected, "MLflow does not allow this host name", remedy)
    return passed(f"{server.host}:{server.port} is not refused")


def judge_login(answer: Answer, gave: str) -> Verdict:
    """``answer`` is the API's to a search for experiments; ``gave`` says which credentials were sent, empty for none."""
    with_what = f"with {gave}" if gave else "without credentials"
    expected = "an answer of the API"
    observed = f"the API answers {answer.status} {with_what}"
    if answer.status == 401:
        cause = "the server does not accept them" if gave else "the server asks for a login"
        return failed(observed, expected, cause, f"set {CREDENTIALS}" if not gave else f'check {gave}; embedded: eval "$(make env)"')
    if answer.status == 403:
        cause = "this user may not use the API" if answer.code else "something in front of MLflow forbids it"
        return failed(f"{observed}: {answer.message}", expected, cause, "ask the administrator for a role or a permission (mlflow_grant)")
    if answer.status in REDIRECTIONS or (answer.status == 200 and answer.is_page):
        remedy = BEHIND_LOGIN
        return failed(f"{observed}, with a page", expected, "a single sign-on in front of the API wants a login by browser", remedy)
    return passed(f"it accepts the request {with_what}")


#: What the server's error says, what that means, and what to do. The texts are those of PostgreSQL, psycopg2, SQLite and MLflow.
_DATABASE: Final = (
    (r"password authentication failed|no pg_hba", "PostgreSQL refuses the server's user", "run site.yml, which gives both the same password"),
    (r'database "[^"]*" does not exist', "the database does not exist", "if it had data, restore a backup first; site.yml creates an empty one"),
    (
        r"too many clients|remaining connection slots",
        "PostgreSQL has no connection left",
        "raise postgresql_max_connections, or lower mlflow_server_pool_size",
    ),
    (
        r"could not translate host name",
        "the server does not find PostgreSQL's name",
        "check postgresql_host, and whether PostgreSQL's Service is there",
    ),
    (
        r"onnection refused|server closed the connection|timeout expired|terminating connection",
        "PostgreSQL is down",
        "see PostgreSQL's log; start it",
    ),
    (r"read-only (transaction|database)", "the database is read-only", "connect to PostgreSQL's primary, or end its recovery"),
    (
        r"no such (table|column)|(relation|column) .*does not exist|out-of-date database schema|Can't locate revision",
        "the schema is not that of this MLflow",
        "run site.yml, which migrates it; by hand: mlflow db upgrade",
    ),
    (
        r"No space left|disk is full|could not extend file",
        "the database's disk is full",
        "make its volume larger, or delete old runs: mlflow gc --older-than",
    ),
)


def _of_database(observed: str, answer: Answer) -> Verdict | None:
    """What the database's own error in the answer means; None if it is none that is known."""
    causes = ((cause, remedy) for pattern, cause, remedy in _DATABASE if re.search(pattern, answer.message))
    return next((failed(observed, "200", *cause) for cause in causes), None)


def judge_database(answer: Answer) -> Verdict:
    """``answer`` is the API's to a search for experiments, past the login."""
    if answer.status == 200 and not answer.is_page:
        return passed("a search for experiments succeeds")
    observed = f"a search for experiments answers {answer.status}: {answer.message}"
    known = _of_database(observed, answer)
    if known:
        return known
    if answer.status == 404:
        cause = "MLflow has a path prefix that the address lacks, or something in front of it does not pass on /api"
        return failed(observed, "200", cause, "check the path of MLFLOW_TRACKING_URI, and the ingress's paths")
    return failed(observed, "200", "the server cannot do its work", "see the server's log; embedded: logs/mlflow.log, Kubernetes: kubectl logs")


def judge_experiment(name: str, answer: Answer | None) -> Verdict:
    """``answer`` is the API's to a search for the experiment by name."""
    if answer is None:
        return failed("no answer", "an answer", "the server ended the connection, or did not answer in time", "see the server's log")
    if answer.status == 404:
        return passed(f"'{name}' does not exist yet, and is created when it is first used")
    if answer.status == 403:
        return failed(
            f"'{name}': {answer.message}",
            "a permission to use it",
            "this user may not see it",
            "ask for a grant on it (mlflow_grant), or use another",
        )
    if answer.status != 200:
        return failed(f"'{name}': {answer.status} {answer.message}", "200", "the server cannot do its work", "see the server's log")
    experiment = answer.content.get("experiment", {})
    if experiment.get("lifecycle_stage") == "deleted":
        remedy = f"restore it: mlflow experiments restore --experiment-id {experiment.get('experiment_id')}; or use another name"
        return failed(f"'{name}' is deleted", "an active experiment", "MLflow keeps the name of a deleted experiment, and refuses runs in it", remedy)
    return passed(f"'{name}' exists, with ID {experiment.get('experiment_id')}")


def judge_proxied_artifacts(answer: Answer | None, error: str) -> Verdict:
    """``answer`` is the server's to a list of artifacts, which it gets from the store."""
    expected = "200"
    if answer is None:
        remedy = "see the server's log, and whether the store answers; on NFS, whether its server does"
        return failed(f"a list of artifacts: {error}", expected, "the server waits for its store, or ended the connection", remedy)
    if answer.status == 200:
        return passed("the server lists them, and passes them on: clients need no credentials for the store")
    observed = f"a list of artifacts answers {answer.status}: {answer.message}"
    if "--serve-artifacts" in answer.message or "artifacts-only" in answer.message:
        return failed(observed, expected, "the server does not pass on artifacts", "start it with --serve-artifacts")
    # MLflow does not pass on what the store said.
    cause = "the server cannot read from its store: it is down, the bucket is not there, or the server's keys are wrong"
    return failed(observed, expected, cause, "see the server's log for the store's error, such as NoSuchBucket or InvalidAccessKeyId")


def judge_direct_artifacts(location: str, error: str, *, has_library: bool, has_keys: bool, is_there: bool) -> Verdict:
    """Artifacts at ``location``, which the client reaches without the server.

    ``error`` is why the S3 server takes no connection, empty where it does; ``has_library`` whether boto3 is installed, ``has_keys`` whether keys
    were given, ``is_there`` whether a path exists on this machine.
    """
    scheme = urlsplit(location).scheme
    if scheme == "s3":
        observed, expected = f"{location}, without the server", "a way to the S3 server"
        if not has_library:
            return failed(observed, expected, "boto3 is not installed, and MLflow's client needs it for S3", "pip install boto3")
        if error:
            return failed(f"{observed}: {error}", expected, "the S3 server does not answer", "check MLFLOW_S3_ENDPOINT_URL, and the network to it")
        if not has_keys:
            remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, unless a profile or an instance role gives them"
            return warning(observed, "keys", "none are set", remedy)
        return passed(f"{observed}, by keys of this client")
    if scheme in ("", "file"):
        observed, expected = f"{location}, a path", "artifacts that the server passes on"
        cause = "the server has no artifact proxy, so that a client writes to this path on its own machine"
        remedy = "start the server with --artifacts-destination and --serve-artifacts, and use a new experiment: an old one keeps its location"
        return warning(observed, expected, cause, remedy) if is_there else failed(observed, expected, cause, remedy)
    return passed(f"{location}, without the server: not checked")


def judge_registry(answer: Answer | None) -> Verdict:
    """``answer`` is the API's to a search for registered models."""
    if answer is None:
        return failed("no answer", "200", "the registry's server did not answer in time", "check MLFLOW_REGISTRY_URI, and the server's log")
    if answer.status == 200 and not answer.is_page:
        return passed("a search for registered models succeeds")
    observed = f"a search for registered models answers {answer.status}: {answer.message}"
    if answer.status in (401, 403):
        return failed(
            observed, "200", "this user may not read the registry", f"ask for a grant on registered models (mlflow_grant); check {CREDENTIALS}"
        )
    known = _of_database(observed, answer)
    if known:
        return known
    return failed(observed, "200", "the registry's server cannot do its work", "check MLFLOW_REGISTRY_URI, and the server's log")
