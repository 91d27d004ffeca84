"""Compare ways to log in, through the ingress: one server that is changed in turn, loaded by who may come in, and by who may not at the same time.

Its rows are among those of k3s.py; alone, it measures on hosts where akko runs already.
"""
from __future__ import annotations

import base64
import http.client
import itertools
import os
import re
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests/k3s", "tests/helper", "tests/hosts", "tests/unit/helpers")]

import test_sso  # noqa: E402 - after the folders that it needs
from cluster import Cluster, _Connection  # noqa: E402
from keycloak_server import KeycloakServer  # noqa: E402
from login_realm import SECRET  # noqa: E402
from playbook import Run, play, roles_playbook  # noqa: E402
from pods import memory  # noqa: E402

NAMESPACE, NAME, HOST, PORT = "bench-logins", test_sso.NAME, "logins.akko.local", 8746
PATH = "/api/2.0/mlflow/experiments/get?experiment_id=0"
CONNECTIONS = 4
ROLES = ("postgresql", "artifact_store", "sso", "mlflow_server")


@dataclass
class Caller(threading.Thread):
    """A kept connection that asks until the time is over, with these headers in turn."""

    connection: http.client.HTTPConnection
    headers: Sequence[Mapping[str, str]]
    until: float
    times: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        for headers in itertools.cycle(self.headers):
            start = time.monotonic()
            if start > self.until:
                return
            try:
                self.connection.request("GET", PATH, headers=headers)
                answer = self.connection.getresponse()
                answer.read()
                self.statuses.append(answer.status)
            except OSError:
                self.statuses.append(0)
                self.connection.close()
            self.times.append(time.monotonic() - start)


def variants(keycloak: KeycloakServer) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The ways, the variables of each, and what somebody who may come in sends: nothing, a password or a token."""
    login = {
        "sso_provider": "oauth2_proxy", "sso_issuer_url": keycloak.issuer, "sso_client_id": "mlflow", "sso_client_secret": SECRET,
        "sso_issuer_ca": keycloak.place.authority,
    }  # fmt: skip
    issuers = [{"issuer": keycloak.issuer, "audience": "mlflow", "ca": keycloak.place.authority}]
    jwt = {"mlflow_server_auth": "jwt", "mlflow_server_jwt_issuers": issuers}
    yield "no login", {"mlflow_server_ingress_auth": "external"}, "nothing"
    yield "oauth2_proxy", login, "token"
    yield "mlflow_server_auth: basic", {"mlflow_server_auth": "basic"}, "password"
    yield "mlflow_server_auth: jwt", jwt, "token"
    yield "oauth2_proxy before jwt", {**login, **jwt, "sso_forward_token": True}, "token"


def way_in(sent: str, cluster: Cluster, keycloak: KeycloakServer) -> dict[str, str]:
    """The headers of somebody who may come in."""
    if sent == "password":
        password = cluster.secret(NAME)["admin-password"]
        return {"Authorization": "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()}
    return {"Authorization": f"Bearer {keycloak.token('training', SECRET)}"} if sent == "token" else {}


def ways_around(keycloak: KeycloakServer) -> list[dict[str, str]]:
    """The headers of those who may not."""
    forged = [test_sso.TOKENS[which](keycloak) for which in ("tampered", "another audience", "alg none", "no token")]
    claimed = {"X-Auth-Request-User": "admin", "X-Forwarded-User": "admin", "X-Forwarded-Uri": "/ping"}
    basic = "Basic " + base64.b64encode(b"admin:password1234").decode()
    return [{}, claimed, {"Authorization": basic}, *({"Authorization": f"Bearer {token}", **claimed} for token in forged)]


def measured(cluster: Cluster, good: Mapping[str, str], bad: Sequence[Mapping[str, str]], seconds: float) -> tuple[str, int]:
    """What those who may got, in words, and how many of those who may not were let in or got another answer than a refusal."""
    context = ssl.create_default_context(cadata=cluster.ca)
    until = time.monotonic() + seconds

    def caller(headers: Sequence[Mapping[str, str]]) -> Caller:
        return Caller(_Connection(HOST, cluster.address, context, 60), headers, until)

    welcome, unwelcome = [caller([good]) for _connection in range(CONNECTIONS)], [caller(bad)] if bad else []
    for each in [*welcome, *unwelcome]:
        each.start()
    for each in [*welcome, *unwelcome]:
        each.join()
    times = sorted(moment for each in welcome for moment in each.times)
    failed = sum(status != 200 for each in welcome for status in each.statuses)
    statuses = [status for each in unwelcome for status in each.statuses]
    slipped = sum(status != 401 for status in statuses)
    refused = f"; refused {len(statuses) - slipped} of {len(statuses)} without a login" if statuses else ""
    figures = f"p50 {statistics.median(times) * 1000:.0f} ms, p99 {times[len(times) * 99 // 100] * 1000:.0f} ms; failed {failed}{refused}"
    return f"{len(times) / seconds:.1f}/s  ({figures})", slipped


def tasks(run: Run) -> int:
    """How many tasks ran on the first server."""
    return max(int(number) for number in re.findall(r"^\S+ +: ok=(\d+)", run.output, re.M))


def rows(cluster: Cluster, seconds: float = 20) -> Iterator[tuple[str, str]]:
    """The rows of the table. AssertionError where a run fails, or somebody without a login came in."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    with tempfile.TemporaryDirectory() as name, test_sso.provider(Path(name), HOST, PORT) as keycloak:
        own = {**test_sso.VARIABLES, "kubernetes_namespace": NAMESPACE, "mlflow_server_host": HOST, "mlflow_server_image": image}
        playbook = roles_playbook(Path(name), ROLES)
        try:
            for title, variables, sent in variants(keycloak):
                run = play(playbook, {**own, **variables}, timeout=1200)
                assert run.status == 0, run.output
                apart = cluster.apart(own)
                good = way_in(sent, apart, keycloak)
                measured(apart, good, [], 3)  # until each worker has seen one
                figures, slipped = measured(apart, good, ways_around(keycloak) if good else [], seconds)
                yield f"{title}, requests through the ingress", figures
                again = play(playbook, {**own, **variables}, timeout=1200)
                assert (again.status, again.changed) == (0, 0), again.output
                yield f"{title}, second run of the four roles", f"{again.seconds:.0f} s, {tasks(again)} tasks"
                if "sso_provider" in variables:
                    yield f"{title}, memory of a pod of oauth2-proxy at rest", f"{memory(apart, 'oauth2-proxy')['rss']:.0f} MiB"
                yield f"{title}, memory of MLflow's pod after it", f"{memory(apart, NAME)['rss']:.0f} MiB"
                assert slipped == 0, f"{title}: {slipped} without a login were not refused"
        finally:
            cluster.delete_namespace(NAMESPACE)


def main() -> None:
    """Measure, and print each figure as it is known."""
    inventories = os.environ["MLFLOW_TEST_INVENTORY"].split(":")
    for what, figures in rows(Cluster(inventories, [])):
        print(f"{what:<60}{figures}", flush=True)


if __name__ == "__main__":
    main()
