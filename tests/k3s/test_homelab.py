"""The homelab platform with its own inventory, in the cluster that has akko: CloudNativePG, an NFS export, and a Gateway that it is given.

What the test hosts lack is stood in for by -e alone: k3s's storage class for Longhorn's, the role nfs's export for the class nfs-slow. The Gateway is
Traefik's, under the name that Envoy's has there.
"""
from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hosts
import pytest
import yaml
from cluster import Cluster, CommandError
from host_images import bring
from inventory import inventory
from loopback import Authority
from nfs import client
from playbook import SITE, Run, play
from restic_image import IMAGE, provide
from state import Host
from test_cloudnative_pg import manifest
from test_outages import kill, nothing_is_lost, reboot

# Not for what they break, but for the minutes that they take.
pytestmark = pytest.mark.outage
ROOT = Path(__file__).resolve().parents[2]
VARIABLES = yaml.safe_load((ROOT / "inventories" / "homelab" / "group_vars" / "all.yml").read_text())
NAMESPACE, NAME, DATABASE = VARIABLES["kubernetes_namespace"], VARIABLES["mlflow_server_name"], VARIABLES["postgresql_name"]
HOST, GATEWAY = VARIABLES["mlflow_server_host"], VARIABLES["mlflow_server_gateways"][0]
ENTRANCES = ("websecure.address=:8443/tcp", "traefik.address=:8080/tcp")
NAS, PATH = "homelab-nas", "/var/nfs/homelab"
#: Where the Gateway is reached from outside the cluster.
NODE_PORT = 30843


def thing(kind: str, name: str, namespace: str = "", api_version: str = "v1", **content: Any) -> dict[str, Any]:
    """An object."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **({"namespace": namespace} if namespace else {})}, **content}


def gateway(image: str, certificate: str, key: str) -> list[dict[str, Any]]:
    """Traefik with its provider for the Gateway API, in a namespace of its own, and the Gateway, which takes routes of all namespaces."""
    namespace, unique = GATEWAY["namespace"], f"{GATEWAY['namespace']}-{GATEWAY['name']}"
    rbac, api = "rbac.authorization.k8s.io/v1", "gateway.networking.k8s.io/v1"
    read = ["get", "list", "watch"]
    status = [f"{kind}/status" for kind in ("gatewayclasses", "gateways", "httproutes")]
    rules = [
        {"apiGroups": [""], "resources": ["services", "secrets", "configmaps", "nodes", "namespaces"], "verbs": read},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["*"], "verbs": read},
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": status, "verbs": ["update"]},
    ]  # fmt: skip
    listener = {
        "name": "https", "protocol": "HTTPS", "port": 8443, "hostname": HOST, "tls": {"certificateRefs": [{"name": "certificate"}]},
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }  # fmt: skip
    container = {
        "name": "traefik", "image": image, "command": ["traefik"], "ports": [{"containerPort": 8443}],
        "args": ["--providers.kubernetesgateway", "--ping=true", *(f"--entryPoints.{name}" for name in ENTRANCES)],
        "readinessProbe": {"httpGet": {"path": "/ping", "port": 8080}, "periodSeconds": 1},
    }  # fmt: skip
    labels = {"app.kubernetes.io/name": "gateway"}
    pod = thing("Pod", "traefik", namespace, spec={"serviceAccountName": "traefik", "containers": [container]})
    pod["metadata"]["labels"] = labels
    return [
        thing("Namespace", namespace), thing("ServiceAccount", "traefik", namespace), thing("ClusterRole", unique, "", rbac, rules=rules),
        thing("ClusterRoleBinding", unique, "", rbac, roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": unique},
              subjects=[{"kind": "ServiceAccount", "name": "traefik", "namespace": namespace}]),
        thing("Secret", "certificate", namespace, type="kubernetes.io/tls", stringData={"tls.crt": certificate, "tls.key": key}),
        thing("GatewayClass", unique, "", api, spec={"controllerName": "traefik.io/gateway-controller"}),
        thing("Gateway", GATEWAY["name"], namespace, api, spec={"gatewayClassName": unique, "listeners": [listener]}),
        thing("Service", "traefik", namespace, spec={
            "type": "NodePort", "selector": labels, "ports": [{"port": 443, "targetPort": 8443, "nodePort": NODE_PORT}],
        }),
        pod,
    ]  # fmt: skip


@dataclass
class Homelab:
    """The platform: its cluster, with kubectl in its namespace, its inventory, and what -e says of the test hosts."""

    cluster: Cluster
    akko: Cluster
    inventory: str
    more: dict[str, Any] = field(default_factory=dict)

    def site(self, *words: str) -> Run:
        """Run site.yml with its inventory."""
        return self.play(SITE, *words)

    def play(self, playbook: str, *words: str, **more: Any) -> Run:
        """Run a playbook with its inventory."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TEST_INVENTORY", self.inventory)
            return play(playbook, {**self.more, **more}, words=words, timeout=1500)

    def curl(self, path: str, *words: str, stdin: str = "") -> str:
        """What the administrator gets on the first host through the Gateway, whose certificate curl verifies."""
        return self.as_anybody(path, "--fail", "--netrc-file", "/etc/homelab-netrc", *words, stdin=stdin)

    def as_anybody(self, path: str, *words: str, stdin: str = "") -> str:
        """What somebody gets there who has no password."""
        resolve = ["--resolve", f"{HOST}:443:{self.more['mlflow_verify_public_address']}", "--cacert", "/etc/homelab-ca.crt"]
        return self.cluster.run(shlex.join(["curl", "-sS", "--max-time", "60", *resolve, *words, f"https://{HOST}{path}"]), stdin=stdin)

    @property
    def primary(self) -> str:
        """The pod of PostgreSQL."""
        return str(self.cluster.get("clusters.postgresql.cnpg.io", DATABASE)["status"]["currentPrimary"])

    def sql(self, statement: str) -> str:
        """What PostgreSQL's superuser gets, in the pod alone."""
        return self.cluster.kubectl("exec", self.primary, "--container", "postgres", "--", "psql", "-tA", "-d", "mlflow", "-c", statement).strip()


def written_inventory(folder: Path, nas: Host) -> str:
    """The variables of inventories/homelab for the test hosts, and the NAS beside them, in place of the hosts that it names."""
    (folder / "homelab").mkdir()
    shutil.copytree(ROOT / "inventories" / "homelab" / "group_vars", folder / "homelab" / "group_vars")
    (folder / "homelab" / "hosts.yml").write_text(inventory([nas], 0))
    return f"{folder / 'homelab'}:/var/tmp/mlops-mlflow-hosts/inventory"


@pytest.fixture(scope="module")
def homelab(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homelab]:
    """The deployed platform, which has passed its own verification; at the end, it is removed with all that is in it."""
    folder, nas = tmp_path_factory.mktemp("homelab"), hosts.add(NAS)
    apart = cluster.apart({name: VARIABLES[name] for name in ("kubernetes_namespace", "mlflow_server_name", "mlflow_server_host")})
    apart.port = NODE_PORT
    nodes = [host for host in hosts.present().hosts if host.is_node]
    authority = Authority(folder)
    both = authority.issue("gateway", [HOST]).read_text()
    certificate, begin, key = both.partition("-----BEGIN PRIVATE KEY-----")
    ca = authority.path.read_text().partition("-----BEGIN PRIVATE KEY-----")[0]
    of_container = "jsonpath={.spec.template.spec.containers[0].image}"
    image = cluster.kubectl("get", "deployment", cluster.name, "-o", of_container)
    objects = gateway(cluster.run(f"k3s kubectl -n kube-system get deployment traefik -o '{of_container}'"), certificate, begin + key)
    operator, unique = manifest(folder), f"{GATEWAY['namespace']}-{GATEWAY['name']}"
    made = Homelab(apart, cluster, written_inventory(folder, nas))
    try:
        client.install(client.built(nas), nodes)
        client.ran(nas, "mkdir -p /var/nfs")
        bring(cluster, "cloudnative-pg", "cloudnative-postgres")
        cluster.run("k3s kubectl apply --filename -", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        ours = f"k3s kubectl --namespace {GATEWAY['namespace']}"
        cluster.run(f"{ours} wait pod traefik --for=condition=Ready --timeout=120s", timeout=130)
        cluster.run("cat >/etc/homelab-ca.crt", stdin=ca)
        made.more = {
            # As the hosts are, whose own variables name the image of akko's S3 server.
            "k3s_registries": cluster.variables["k3s_registries"], "mlflow_image_existing": image, "artifact_store_image": image,
            "postgresql_image": "ghcr.io/cloudnative-pg/postgresql:17.11", "postgresql_storage_class": "local-path", "postgresql_operator": "install",
            "postgresql_operator_manifest": str(operator), "postgresql_operator_checksum": hashlib.sha256(operator.read_bytes()).hexdigest(),
            "nfs_path": PATH, "artifact_store_storage_class": "", "artifact_store_nfs_server": nas.address, "artifact_store_nfs_path": PATH,
            "mlflow_verify_public_address": cluster.run(f"{ours} get service traefik -o 'jsonpath={{.spec.clusterIP}}'"),
            "mlflow_verify_public_ca": ca,
            "kubernetes_timeout": 900,
        }  # fmt: skip
        run = made.site()
        assert run.status == 0, run.output
        apart.ca, apart.credentials = ca, ("admin", apart.secret(NAME)["admin-password"])
        cluster.run("umask 077; cat >/etc/homelab-netrc", stdin="machine {} login {} password {}\n".format(HOST, *apart.credentials))
        yield made
    finally:
        cluster.run(f"k3s kubectl delete cluster.postgresql.cnpg.io --all --namespace {NAMESPACE} --ignore-not-found --timeout=60s || true")
        for namespace in (NAMESPACE, GATEWAY["namespace"]):
            cluster.delete_namespace(namespace)
        cluster.run(f"k3s kubectl delete pv --selector mlops.mlflow/deployment={NAMESPACE} --wait=false")
        cluster.run(f"k3s kubectl delete clusterrole,clusterrolebinding,gatewayclass {unique} --ignore-not-found")
        cluster.run("k3s kubectl delete --ignore-not-found --wait=false --filename -", stdin=operator.read_text())
        cluster.run("rm -f /etc/homelab-ca.crt /etc/homelab-netrc")
        client.remove(nodes)
        hosts.remove(NAS)


@pytest.mark.line("(homelab) uvicorn, strategy Recreate, 200m/512Mi to 1 CPU/2Gi, in namespace mlflow")
def test_the_server_has_the_numbers_of_the_text(homelab: Homelab) -> None:
    """As the API server has them, and in the processes of the pod."""
    spec = homelab.cluster.get("deployment", NAME)["spec"]
    assert spec["strategy"]["type"] == "Recreate"
    resources = spec["template"]["spec"]["containers"][0]["resources"]
    assert {name: resources["requests"][name] for name in ("cpu", "memory")} == {"cpu": "200m", "memory": "512Mi"}
    assert {name: resources["limits"][name] for name in ("cpu", "memory")} == {"cpu": "1", "memory": "2Gi"}
    words = homelab.cluster.kubectl("exec", f"deployment/{NAME}", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "uvicorn" in words
    assert "gunicorn" not in words


@pytest.mark.line("(homelab) PostgreSQL via CloudNativePG: 1 instance, amd64, 10Gi, max_connections 200")
def test_the_database_has_the_numbers_of_the_text(homelab: Homelab) -> None:
    """In the Cluster, and as PostgreSQL says."""
    spec = homelab.cluster.get("clusters.postgresql.cnpg.io", DATABASE)["spec"]
    assert (spec["instances"], spec["storage"]["size"], spec["affinity"]["nodeSelector"]) == (1, "10Gi", {"kubernetes.io/arch": "amd64"})
    assert homelab.sql("SHOW max_connections") == "200"
    assert int(homelab.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'mlflow'")) > 0


@pytest.mark.line("(homelab) 50Gi NFS volume, ReadWriteMany, at /mlflow/artifacts, through the artifact proxy")
def test_artifacts_go_through_the_gateway_into_the_export(homelab: Homelab) -> None:
    """What is uploaded is a file on the NAS, and comes back as it was; clients get the proxy's URIs."""
    claim = homelab.cluster.get("pvc", VARIABLES["artifact_store_name"])
    assert (claim["spec"]["accessModes"], claim["spec"]["resources"]["requests"]["storage"]) == (["ReadWriteMany"], "50Gi")
    mounts = homelab.cluster.get("deployment", NAME)["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert "/mlflow/artifacts" in {mount["mountPath"] for mount in mounts}
    key, content = f"story-{time.time_ns()}/model.txt", "what was trained\n" * 100_000
    homelab.curl(f"/api/2.0/mlflow-artifacts/artifacts/{key}", "-T", "-", stdin=content)
    assert homelab.curl(f"/api/2.0/mlflow-artifacts/artifacts/{key}") == content
    assert client.ran(hosts.present().host(NAS), f"cat {PATH}/{key}").decode() == content
    experiment = json.loads(homelab.curl("/api/2.0/mlflow/experiments/get?experiment_id=0"))["experiment"]
    assert experiment["artifact_location"].startswith("mlflow-artifacts:")


@pytest.mark.line("(homelab) access via the gateway envoy-internal")
def test_the_route_is_accepted_by_the_gateway(homelab: Homelab) -> None:
    """With all that it refers to, and there is no Ingress."""
    [parent] = homelab.cluster.get("httproute", NAME)["status"]["parents"]
    assert parent["parentRef"]["name"] == GATEWAY["name"]
    assert {each["type"]: each["status"] for each in parent["conditions"]}.items() >= {"Accepted": "True", "ResolvedRefs": "True"}.items()
    assert homelab.cluster.get("ingress") == []


@pytest.mark.line("(beyond) nobody without a login")
def test_nobody_gets_in_without_a_login(homelab: Homelab) -> None:
    """Neither without a password, nor with a wrong one."""
    for words in ([], ["--user", "admin:password1234"]):
        for path in ("/", "/api/2.0/mlflow/experiments/get?experiment_id=0", "/api/2.0/mlflow-artifacts/artifacts"):
            assert homelab.as_anybody(path, "--output", "/dev/null", "--write-out", "%{http_code}", *words) == "401", (path, words)


@pytest.mark.line("(beyond) backed up, tried and restored")
def test_a_set_has_the_artifacts_of_the_export_and_takes_the_place_of_what_is_newer(homelab: Homelab, tmp_path: Path) -> None:
    """A drill tries it, and what was made after it is gone from where people look, and not from the database."""
    provide(homelab.cluster, tmp_path)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}
    homelab.cluster.kubectl("apply", "--filename", "-", stdin=json.dumps(thing("PersistentVolumeClaim", "sets", NAMESPACE, spec=spec)))
    variables = {"mlflow_backup_claim": "sets", "mlflow_backup_restic_image": IMAGE, "mlflow_backup_password_file": str(tmp_path / "password")}
    key, content = f"kept-{time.time_ns()}/model.txt", "what must not be lost"
    homelab.curl(f"/api/2.0/mlflow-artifacts/artifacts/{key}", "-T", "-", stdin=content)
    made = homelab.play("mlops.mlflow.backup", mlflow_backup_drill=True, **variables)
    assert made.status == 0, made.output
    assert "was restored and tried: " in made.output
    experiment = json.loads(homelab.curl("/api/2.0/mlflow/experiments/create", "--json", json.dumps({"name": key})))["experiment_id"]
    client.ran(hosts.present().host(NAS), f"rm {PATH}/{key}")
    restored = homelab.play("mlops.mlflow.restore", mlflow_backup_replace=True, mlflow_backup_replace_confirmed="yes", **variables)
    assert restored.status == 0, restored.output
    assert homelab.curl(f"/api/2.0/mlflow-artifacts/artifacts/{key}") == content
    assert homelab.sql(f"SELECT count(*) FROM experiments WHERE name = '{key}'") == "0"
    [schema] = homelab.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'replaced_%'").split()
    assert homelab.sql(f"SELECT experiment_id FROM {schema}.experiments WHERE name = '{key}'") == experiment


@pytest.mark.line("(beyond) a second run changes nothing")
@pytest.mark.parametrize("words", [(), ("--check",)], ids=["run", "check"])
def test_a_second_run_of_site_changes_nothing(homelab: Homelab, words: Sequence[str]) -> None:
    """The NAS, the nodes and the platform."""
    run = homelab.site(*words)
    assert (run.status, run.changed) == (0, 0), run.output


def cut_database(homelab: Homelab) -> None:
    """Cut the power of the node that has the database's volume."""
    reboot(homelab.cluster, homelab.cluster.get("pod", homelab.primary)["spec"]["nodeName"])


def cut_nas(_homelab: Homelab) -> None:
    """Cut the NAS's power."""
    hosts.stop(NAS, kill=True)
    hosts.start(NAS)


OUTAGES: dict[str, Callable[[Homelab], object]] = {
    "the MLflow pod": lambda homelab: kill(homelab.cluster, NAME),
    "the PostgreSQL pod": lambda homelab: homelab.cluster.kubectl("delete", "pod", homelab.primary, "--grace-period=0", "--force", "--wait=false"),
    "the node with the database": cut_database,
    "the NAS": cut_nas,
}


@pytest.mark.line("(beyond) nothing acknowledged is lost")
@pytest.mark.parametrize("outage", OUTAGES)
def test_nothing_acknowledged_is_lost(homelab: Homelab, outage: str) -> None:
    """While a client logs five records a second and artifacts, this is killed; all is served again by itself."""
    nothing_is_lost(homelab.cluster, outage, lambda: OUTAGES[outage](homelab))


@pytest.mark.line("(beyond) two platforms of a cluster do not see each other's data")
def test_it_and_akko_see_nothing_of_each_other(homelab: Homelab) -> None:
    """Neither an experiment, nor a pod of the other's server, database and store."""
    name = f"homelab-{time.time_ns()}"
    homelab.curl("/api/2.0/mlflow/experiments/create", "--json", json.dumps({"name": name}))
    names = [each["name"] for each in homelab.akko.https("POST", "/api/2.0/mlflow/experiments/search", {"max_results": 1000}).json()["experiments"]]
    assert name not in names
    akko = homelab.akko
    targets = {"5000": akko.name, "5432": str(akko.variables["postgresql_name"]), "9000": str(akko.variables["artifact_store_name"])}
    for port, service in targets.items():
        program = f"import socket; socket.create_connection(('{service}.{akko.namespace}.svc', {port}), 5)"
        with pytest.raises(CommandError, match="timed out|refused|unreachable"):
            homelab.cluster.kubectl("exec", f"deployment/{NAME}", "--", "python", "-c", program)
    program = f"import socket; socket.create_connection(('{DATABASE}-rw.{NAMESPACE}.svc', 5432), 5)"
    with pytest.raises(CommandError, match="timed out|refused|unreachable"):
        akko.kubectl("exec", f"deployment/{akko.name}", "--", "python", "-c", program)
