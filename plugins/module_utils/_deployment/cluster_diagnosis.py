# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""What is wrong with a deployment in a cluster: checks in the order of dependency, from what was seen of it. No I/O."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.diagnosis import (
    SKIPPED,
    WARNING,
    Check,
    Verdict,
    diagnosis,
    failed,
    passed,
)
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.values import host_and_port

Given = Mapping[str, Any]
_RUN = "run the site playbook"
#: Seconds after which a backup is old.
_OLD = 2 * 86400
#: What PostgreSQL's client says where the server cannot read its database, its cause, and what to do.
_DATABASE = (
    (r"password authentication failed", "PostgreSQL has another password than the Secret", f"{_RUN}, which sets the Secret's"),
    (
        r"database .* does not exist",
        "the database is missing",
        "restore a backup with the playbook mlops.mlflow.restore; " + f"if it had no data, {_RUN}",
    ),
    (r"role .* does not exist", "the database's user is missing", _RUN),
    (r"too many c|remaining connection slots", "all connections are in use", "raise postgresql_max_connections, or lower mlflow_server_pool_size"),
    (r"certificate verify failed", "the certificate of PostgreSQL is not signed by the CA that MLflow trusts", _RUN),
    (
        r"could not translate host name|name or service not known",
        "the name of PostgreSQL is not known in the cluster's DNS",
        "look at CoreDNS, and at the Service",
    ),
    (
        r"connection refused|could not connect|timeout|timed out",
        "nothing answers there, or a NetworkPolicy is in the way",
        f"look at the policies, or {_RUN}",
    ),
)
#: The same of the artifact store.
_STORE = (
    (
        r"NoSuchBucket|Not Found|404",
        "the bucket does not exist",
        f"restore a backup with the playbook mlops.mlflow.restore; if it had no data, {_RUN}",
    ),
    (r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidAccessKey", "the keys in the Secret are not those of the store", f"{_RUN}, which sets them"),
    (r"AccessDenied|Forbidden|403", "the user of these keys may not use the bucket", f"{_RUN}, which grants it"),
    (r"SSL|certificate", "the certificate of the store is not trusted", "set the CA of the store in artifact_store_ca_certificate"),
    (r"there is no folder", "the volume is not mounted, or the folder was deleted", "put it back from a backup"),
    (r"cannot be", "MLflow's user has no right to the folder", f"mend its owner and mode, then {_RUN}"),
)


def _cluster(given: Given) -> Verdict:
    if given["error"]:
        return failed(
            given["error"], "an answer of the API server", "it is down, or kubernetes_kubeconfig leads elsewhere", "systemctl status k3s says more"
        )
    return passed("the API server answers")


def _nodes(given: Given) -> Verdict:
    for node in given["seen"]["nodes"]:
        if not node["is_ready"]:
            return failed(
                f"{node['name']}: {node['says'] or 'NotReady'}",
                "all nodes are Ready",
                "its host or its kubelet is down",
                "start it: systemctl status k3s",
            )
        if node["pressure"]:
            about = {"DiskPressure": "free space on its disk", "MemoryPressure": "free memory on it"}.get(node["pressure"][0], "end processes on it")
            return failed(f"{node['name']}: {', '.join(node['pressure'])}", "no pressure", "the host is full, and its pods are evicted", about)
    return passed(f"{len(given['seen']['nodes'])} Ready" if given["seen"]["nodes"] else "nodes may not be listed by this user")


def _deployment(given: Given) -> Verdict:
    found, there = given["seen"]["workloads"], f"namespace '{given['namespace']}'"
    if any(each["component"] == "server" for each in found):
        return passed(", ".join(f"{each['kind']} {each['name']}" for each in found))
    observed = f"{len(found)} workloads, none of them MLflow" if found else "nothing"
    cause = "nothing was deployed there, or kubernetes_namespace or kubernetes_deployment names another"
    return failed(observed, f"an MLflow of the deployment '{given['deployment']}' in {there}", cause, f"correct that, or {_RUN}")


def _volumes(given: Given) -> Verdict:
    for claim in given["seen"]["claims"]:
        if claim["phase"] == "Lost":
            return failed(f"{claim['name']} is Lost", "Bound", "its volume was deleted", "restore a backup with the playbook mlops.mlflow.restore")
        if claim["phase"] != "Bound" and claim["says"]:
            return failed(
                f"{claim['name']} is {claim['phase']}: {claim['says']}",
                "Bound",
                "no storage class provides it",
                "kubectl get storageclass says which there are",
            )
    return passed(", ".join(each["name"] for each in given["seen"]["claims"]) or "none")


def _secrets(given: Given) -> Verdict:
    there = given["seen"]["secrets"]
    for each in given["seen"]["references"]:
        if each["secret"] not in there or (each["key"] and each["key"] not in there[each["secret"]]):
            what = f"Secret {each['secret']}" if each["secret"] not in there else f"key {each['key']} in Secret {each['secret']}"
            remedy = f"restore it from a backup with the playbook mlops.mlflow.restore; what can be made anew, {_RUN} makes"
            return failed(f"no {what}", f"what {each['workload']} needs", "somebody has deleted it", remedy)
    return passed(f"{len({each['secret'] for each in given['seen']['references']})} Secrets are complete")


def _workload(given: Given, component: str, absent: str) -> Verdict:
    found = next((each for each in given["seen"]["workloads"] if each["component"] == component), None)
    if found is None:
        return passed(absent)
    title = f"{found['kind']} {found['name']}"
    if found["wanted"] == 0:
        return failed(f"{title} has 0 replicas", "1 or more", "somebody has scaled it down", f"scale it up, or {_RUN}")
    if not found["is_ready"]:
        cause = found["reason"] or "its pods are not ready"
        said = f"; its log: {found['log'][-1]}" if found["log"] and found["log"][-1] not in cause else ""
        remedy = found["remedy"] or f"kubectl --namespace {given['namespace']} describe {found['kind'].lower()} {found['name']}"
        return failed(f"{title}: {found['count']}", "all pods ready", f"{cause}{said}", remedy)
    return passed(f"{title}: {found['count']}")


def _postgresql(given: Given) -> Verdict:
    return _workload(given, "database", "PostgreSQL is not part of this deployment")


def _known(text: str, table: tuple[tuple[str, str, str], ...], otherwise: tuple[str, str]) -> tuple[str, str]:
    return next(((cause, remedy) for pattern, cause, remedy in table if re.search(pattern, text, re.IGNORECASE)), otherwise)


def _unasked(given: Given) -> Verdict:
    """What only a pod of MLflow could say."""
    pod = given["seen"]["server"]["pod"]
    if not pod:
        return Verdict(SKIPPED, "no pod of MLflow is ready that could be asked")
    cause = given["unasked"] or "its container said nothing"
    return Verdict(WARNING, f"pod {pod} cannot be asked", "an answer of its container", cause, f"see what this says: {_log(given)}")


def _database(given: Given) -> Verdict:
    expected = "the server can read its databases"
    for each in given["inside"].get("databases", ()):
        if each["error"]:
            return failed(each["error"], expected, *_known(each["error"], _DATABASE, ("PostgreSQL refuses the server", _RUN)))
    if given["inside"]:
        return passed(", ".join(each["name"] for each in given["inside"]["databases"]))
    server = next(each for each in given["seen"]["workloads"] if each["component"] == "server")
    for line in reversed(server["log"]):
        if "psycopg2" in line or "OperationalError" in line or "FATAL" in line:
            cause, remedy = _known(line, _DATABASE, ("", ""))
            if cause:
                return failed(line, expected, cause, remedy)
    return _unasked(given)


def _schema(given: Given) -> Verdict:
    if not given["inside"]:
        return _unasked(given)
    status = given["inside"]["schema"]
    if status == "current":
        return passed("current")
    known = {
        "old": ("the schema is of an earlier MLflow", f"{_RUN}, which migrates it"),
        "newer": ("the schema is of a later MLflow, so that writing fails", "deploy that version again, or restore a backup from before it"),
        "fresh": ("the database is empty", "restore a backup with the playbook mlops.mlflow.restore"),
    }
    return failed(status, "current", *known.get(status, ("the schema's version cannot be read", _RUN)))


def _s3(given: Given) -> Verdict:
    return _workload(given, "artifacts", "no store is part of this deployment")


def _store(given: Given) -> Verdict:
    if not given["inside"]:
        return _unasked(given)
    says, destination = given["inside"]["store"], given["inside"]["destination"]
    if says:
        cause, remedy = _known(says, _STORE, ("nothing answers there, or a NetworkPolicy is in the way", f"look at the policies, or {_RUN}"))
        return failed(says, f"artifacts in {destination}", cause, remedy)
    return passed(destination)


def _log(given: Given) -> str:
    """The command that shows the log of the server's pod."""
    return f"kubectl --namespace {given['namespace']} logs {given['seen']['server']['pod']}"


def _server(given: Given) -> Verdict:
    verdict = _workload(given, "server", "")
    if verdict.cause or not given["inside"]:
        return verdict
    health = given["inside"]["health"]
    if (health["status"], health["says"]) != (200, "OK"):
        observed = f"HTTP {health['status']}" if health["status"] else health["says"]
        return failed(
            observed,
            "OK from /health",
            "it is overloaded, or stuck",
            _log(given),
        )
    return verdict


def _service(given: Given) -> Verdict:
    server = given["seen"]["server"]
    if not server["service"]:
        return failed("there is none", f"Service {server['name']}", "somebody has deleted it", _RUN)
    if not server["endpoints"]:
        return failed("no endpoint", "the server's pods", "its selector or its port is not that of the pods", f"{_RUN}, which corrects it")
    return passed(f"{server['name']}:{server['port']}, {server['endpoints']} pods")


def _api(given: Given) -> Verdict:
    if not given["inside"]:
        return _unasked(given)
    api = given["inside"]["api"]
    if api["status"] == 200:
        return passed("the API answers")
    if api["status"] == 401:
        return failed("HTTP 401", "an answer to the administrator", "the Secret has another password than MLflow", f"{_RUN}, which sets the Secret's")
    observed = f"HTTP {api['status']}: {api['says']}" if api["status"] else api["says"]
    return failed(
        observed,
        "an answer of the API",
        "the server cannot use its database",
        _log(given),
    )


def _artifacts(given: Given) -> Verdict:
    if not given["inside"]:
        return _unasked(given)
    answer = given["inside"]["artifacts"]
    if answer["status"] == 200:
        return passed("the server lists them")
    observed = f"HTTP {answer['status']}: {answer['says']}" if answer["status"] else answer["says"]
    return failed(observed, "a list of artifacts from the server", "the server uses another store than its variables say", f"restart it: {_RUN}")


def _login(given: Given) -> Verdict:
    return _workload(given, "login", "nothing asks for a login")


#: What the entrance answers, why, and what to do.
_ENTRANCE: Mapping[int, tuple[str, str]] = {
    404: ("the ingress controller has no router for this host: a Middleware is missing, or its class is another", f"its log says more; {_RUN}"),
    500: ("Traefik cannot ask the login", "correct sso_callers, and look at the pods of oauth2-proxy"),
    502: ("the ingress controller does not reach MLflow", "correct mlflow_server_ingress_namespace and mlflow_server_ingress_pods"),
    503: ("the ingress controller knows no ready pod", f"look at the Service, or {_RUN}"),
    504: ("the ingress controller does not reach MLflow", "correct mlflow_server_ingress_namespace and mlflow_server_ingress_pods"),
}


def _ingress(given: Given) -> Verdict:
    ingress = given["seen"]["server"]["ingress"]
    if not ingress:
        return passed("there is no Ingress")
    if not ingress["address"]:
        return failed(
            "no address",
            f"one of the class {ingress['class']}",
            "no ingress controller has taken it",
            "deploy one, or correct mlflow_server_ingress_class",
        )
    if ingress["status"] in (200, 302, 401):
        return passed(f"{ingress['host']} at {ingress['address']}")
    observed = f"HTTP {ingress['status']}" if ingress["status"] else ingress["says"]
    cause, remedy = _ENTRANCE.get(ingress["status"], ("nothing answers at that address", "look at the pods of the ingress controller"))
    return failed(observed, f"an answer for {ingress['host']} at {ingress['address']}", cause, remedy)


def _certificate(given: Given) -> Verdict:
    ingress = given["seen"]["server"]["ingress"]
    if not ingress or not ingress["certificate"]:
        return passed("valid" if ingress else "there is no Ingress")
    cause = "it was not renewed in time"
    if "expired" not in ingress["certificate"]:
        cause = "the ingress controller serves another certificate than the Ingress's Secret has"
    remedy = f"{_RUN}, which renews it; kubectl get cronjob,job says why it was not"
    return failed(ingress["certificate"], f"a certificate for {ingress['host']}", cause, remedy)


def _clients(given: Given) -> Verdict:
    server, found = given["seen"]["server"], given["seen"]["clients"]
    names = {
        f"{server['name']}{end}"
        for end in ("", f".{given['namespace']}", f".{given['namespace']}.svc", f".{given['namespace']}.svc.{given['domain']}")
    }
    for each in found:
        host, port = host_and_port(each["uri"])
        inside = host in names and port == server["port"]
        if not inside and host != server["ingress"].get("host"):
            place = f"ConfigMap {each['name']} of namespace {each['namespace']}"
            cause = "the client is told another address than the server has"
            return failed(
                f"{place}: {each['uri']}",
                f"http://{server['name']}.{given['namespace']}.svc:{server['port']}",
                cause,
                f"{_RUN}, then restart the client",
            )
    return passed(f"{len(found)} declared")


def _backup(given: Given) -> Verdict:
    found = given["seen"]["backups"]
    if not found:
        return Verdict(
            WARNING,
            "none is scheduled",
            "a daily backup",
            "nobody has asked for one",
            "set mlflow_backup_schedule, and run the playbook mlops.mlflow.backup",
        )
    job = found[0]
    age = given["seen"]["now"] - _seconds(job["succeeded"] or job["made"])
    if job["suspended"]:
        return Verdict(
            WARNING, "suspended", "a daily backup", f"CronJob {job['name']} is suspended", "resume it, or run the playbook mlops.mlflow.backup"
        )
    if age > _OLD:
        last = f"the last was made {int(age // 86400)} days ago" if job["succeeded"] else "none has been made"
        return Verdict(WARNING, last, "a recent backup", "its Jobs fail", f"kubectl --namespace {given['namespace']} get jobs,pods says why")
    return passed(job["succeeded"] or "the first is still to come")


def _seconds(moment: str) -> float:
    """A moment of Kubernetes' API in seconds since 1970.

    >>> _seconds("1970-01-02T00:00:00Z")
    86400.0
    """
    return datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


#: In the order in which they are told.
CHECKS = (
    Check("cluster", "The cluster answers", (), _cluster, "Its API server takes the kubeconfig `kubernetes_kubeconfig`."),
    Check("nodes", "The nodes are fit", ("cluster",), _nodes, "All are `Ready`, and none is short of disk, memory or processes."),
    Check(
        "deployment", "MLflow is deployed", ("cluster",), _deployment,
        "The namespace has workloads with the labels of this deployment, and MLflow is one of them.",
    ),
    Check("volumes", "The volumes are bound", ("deployment",), _volumes, "Each PersistentVolumeClaim of the namespace has its volume."),
    Check(
        "secrets", "The Secrets are complete", ("deployment",), _secrets,
        "Each Secret and each key that the pods need is there. Values are not looked at.",
    ),
    Check("postgresql", "PostgreSQL is ready", ("volumes", "secrets", "nodes"), _postgresql, "All its pods are, where it is part of the deployment."),
    Check(
        "database", "The server can read its databases", ("postgresql",), _database,
        "Asked in a pod of MLflow, with its own address, user and password; if none is ready, its log is read.",
    ),
    Check("schema", "The schema is MLflow's", ("database",), _schema, "The database has the revision that the image's MLflow needs."),
    Check("s3", "The artifact store is ready", ("volumes", "secrets", "nodes"), _s3, "All its pods are, where it is part of the deployment."),
    Check(
        "store", "The server can reach its artifacts", ("s3",), _store,
        "Asked in a pod of MLflow: it lists the bucket with its own keys, or reads and writes the folder.",
    ),
    Check("server", "MLflow is ready", ("secrets", "nodes", "schema"), _server, "All its pods are, and `/health` answers `OK` in one of them."),
    Check("service", "The Service leads to MLflow", ("server",), _service, "It has endpoints that are ready."),
    Check("api", "The API answers", ("server",), _api, "In a pod of MLflow, as the administrator where there is one."),
    Check("artifacts", "Clients can reach artifacts", ("api", "store"), _artifacts, "Through the server, as clients do."),
    Check("login", "The login is ready", ("deployment",), _login, "All pods of oauth2-proxy are, where there is a login."),
    Check(
        "ingress", "MLflow can be reached from outside", ("service", "login"), _ingress,
        "The ingress controller answers for the public name, asked from the first k3s server at the Ingress's address. A redirection to a "
        "login, or its 401, will do.",
    ),
    Check(
        "certificate", "The certificate is valid", ("ingress",), _certificate,
        "It is for the public name, has not expired, and is that of the Ingress's Secret.",
    ),
    Check("clients", "Clients have the right address", ("service",), _clients, "The ConfigMaps of `mlflow_clients` name this server."),
    Check(
        "backup", "There is a recent backup", ("deployment",), _backup,
        "One is scheduled, and the last is less than two days old. This is a warning, never a failure.",
    ),
)  # fmt: skip


def _decided(given: Given) -> dict[str, Any]:
    """From ``error``, why the cluster does not answer, ``seen``, what kubernetes_overview_info returns, and ``inside``, what a pod says of itself."""
    return diagnosis(CHECKS, given, "diagnose-cluster.md")


DECISIONS: Mapping[str, Callable[[Given], dict[str, Any]]] = {"diagnosis": _decided}
