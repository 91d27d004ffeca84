"""Artifacts in a real NFS export, which the kubelet mounts: two replicas on two nodes, each fault of an export, and a server that hangs.

The export is the role nfs's, on a host of its own beside the cluster. No host has NFS in its kernel: NFS-Ganesha serves, and tests/hosts/nfs mounts.
"""
from __future__ import annotations

import contextlib
import copy
import json
import shlex
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hosts
import pytest
import yaml
from cluster import Cluster
from command import HostsError
from inventory import inventory
from nfs import client
from playbook import Run, play, roles_playbook
from state import Host

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("(beyond) artifacts in an NFS export")]
NAMESPACE, NAME, PATH, NAS = "nfs-export", "mlflow", "/var/nfs/mlflow", "nas"
MEBIBYTE = 1 << 20
SITE = ("postgresql", "artifact_store", "mlflow_server", "mlflow_verify")


@dataclass
class Export:
    """The server, its cluster, and the NAS."""

    cluster: Cluster
    folder: Path
    image: str
    nas: Host

    def deploy(self, *roles: str, words: Sequence[str] = (), **variables: Any) -> Run:
        """Run roles on the first server with this server's variables, and others, and further words of the command line."""
        given: dict[str, Any] = {
            "kubernetes_namespace": NAMESPACE, "kubernetes_timeout": 900, "postgresql_name": "database", "postgresql_volume_size": "1Gi",
            "artifact_store_provider": "nfs", "artifact_store_name": "artifacts", "artifact_store_app": "artifacts",
            "artifact_store_nfs_server": self.nas.address, "artifact_store_nfs_path": PATH,
            "mlflow_server_name": NAME, "mlflow_server_app": NAME, "mlflow_server_host": "", "mlflow_server_ingress_auth": "none",
            "mlflow_server_replicas": 2, "mlflow_server_strategy": "Recreate", "mlflow_server_pool_size": 5, "mlflow_server_max_overflow": 2,
            "mlflow_server_image": self.image, "artifact_store_image": self.image,
        }  # fmt: skip
        return play(roles_playbook(self.folder, roles), {**given, **variables}, words=words, timeout=1500)

    def serve(self, *words: str, **variables: Any) -> Run:
        """Run the role nfs on the NAS."""
        file = self.folder / "nfs.yml"
        file.write_text(yaml.safe_dump([{"hosts": "nfs_server", "gather_facts": False, "roles": ["mlops.mlflow.nfs"]}]))
        (self.folder / "nas.yml").write_text(inventory([self.nas], 0))
        return play(file, {"nfs_path": PATH, **variables}, self.folder / "nas.yml", words=words)

    def on_nas(self, command: str) -> str:
        """Run a command on the NAS; its standard output."""
        return client.ran(self.nas, command).decode()

    @property
    def url(self) -> str:
        """The server, as the first host reaches it."""
        return f"http://{self.cluster.get('service', NAME)['spec']['clusterIP']}:5000"

    @property
    def urls(self) -> list[str]:
        """Each of its pods."""
        pods = self.cluster.get("pods", "", "--selector", f"app.kubernetes.io/name={NAME},app.kubernetes.io/component=server")
        return [f"http://{pod['status']['podIP']}:5000" for pod in pods]

    def curl(self, *words: str, stdin: str = "", seconds: int = 60) -> str:
        """What the first host gets."""
        return self.cluster.run(shlex.join(["curl", "-sSf", "--max-time", str(seconds), *words]), stdin=stdin, timeout=seconds + 20)

    @contextlib.contextmanager
    def changed(self, old: str, new: str) -> Iterator[None]:
        """The export with something of it replaced, and nothing of it mounted or checked."""
        file = self.on_nas("ls /etc/ganesha/mlops-mlflow-*.conf").strip()
        self.cluster.kubectl("delete", "configmap", "artifacts-check", "--ignore-not-found")
        before = self.on_nas(f"cat {file}")
        assert old in before
        self.on_nas(f"sed -i {shlex.quote(f's|{old}|{new}|')} {file} && systemctl reload nfs-ganesha")
        try:
            yield
        finally:
            self.on_nas(f"sed -i {shlex.quote(f's|{new}|{old}|')} {file} && systemctl reload nfs-ganesha")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The NFS server, which does not answer."""
        self.on_nas("pkill -STOP ganesha.nfsd")
        try:
            yield
        finally:
            self.on_nas("pkill -CONT ganesha.nfsd")


def artifact(url: str, key: str) -> str:
    """The URL of an artifact behind the proxy."""
    return f"{url}/api/2.0/mlflow-artifacts/artifacts/{key}"


@contextlib.contextmanager
def exported(cluster: Cluster, folder: Path) -> Iterator[Export]:
    """The namespace, the NAS, and the nodes' client; at the end, all of it is removed."""
    image = cluster.get("deployment", cluster.name)["spec"]["template"]["spec"]["containers"][0]["image"]
    apart, nodes = copy.copy(cluster), [host for host in hosts.present().hosts if host.is_node]
    apart.namespace = NAMESPACE
    made = Export(apart, folder, image, hosts.add(NAS))
    try:
        client.install(client.built(made.nas), nodes)
        made.on_nas("mkdir -p /var/nfs")
        run = made.serve()
        assert run.status == 0, run.output
        yield made
    finally:
        cluster.delete_namespace(NAMESPACE)
        cluster.run(f"k3s kubectl delete pv --selector mlops.mlflow/deployment={NAMESPACE} --wait=false")
        client.remove(nodes)
        hosts.remove(NAS)


@pytest.fixture(scope="module")
def export(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Export]:
    """The same for these tests."""
    with exported(cluster, tmp_path_factory.mktemp("export")) as made:
        yield made


@pytest.fixture(scope="module")
def deployed(export: Export) -> Export:
    """The same once MLflow is deployed and has passed its own verification."""
    run = export.deploy(*SITE)
    assert run.status == 0, run.output
    return export


def test_the_export_is_for_the_nodes_alone_and_the_next_runs_change_nothing(export: Export) -> None:
    """The NAS itself is nobody that may mount it; nor does check mode predict a change."""
    for words in ((), ("--check",)):
        run = export.serve(*words)
        assert (run.status, run.changed) == (0, 0), run.output
    client.install(client.built(export.nas), [export.nas])
    with pytest.raises(HostsError, match="access denied by server while mounting"):
        export.on_nas(f"mount -t nfs {export.nas.address}:{PATH} /mnt")


def test_check_mode_writes_nothing(export: Export) -> None:
    """Neither a claim nor a volume is there afterwards."""
    run = export.deploy("postgresql", "artifact_store", words=["--check"])
    assert run.status == 0, run.output
    assert run.changed > 0
    assert NAMESPACE not in export.cluster.run("k3s kubectl get namespaces --output name")
    assert export.cluster.get("pv", "", "--selector", f"mlops.mlflow/deployment={NAMESPACE}") == []


def test_what_one_replica_takes_another_gives(deployed: Export) -> None:
    """At once, on two nodes, from a file of MLflow's user on the NAS; clients get the proxy's URIs."""
    first, second = deployed.urls
    key, content = f"story-{time.time_ns()}/model.txt", "what was trained\n" * 100_000
    deployed.curl("-T", "-", artifact(first, key), stdin=content)
    assert deployed.curl(artifact(second, key)) == content
    assert deployed.on_nas(f"stat -c %u:%g {PATH}/{key}").strip() == "10001:10001"
    assert deployed.on_nas(f"cat {PATH}/{key}") == content
    answer = json.loads(deployed.curl(f"{deployed.url}/api/2.0/mlflow/experiments/get?experiment_id=0"))
    assert answer["experiment"]["artifact_location"].startswith("mlflow-artifacts:")


def test_uploads_at_once_lose_nothing(deployed: Export) -> None:
    """A hundred files of a MiB by eight clients to both replicas: each has its own content on the NAS."""
    key, urls = f"at-once-{time.time_ns()}", deployed.urls
    file = "head -c 1048568 /dev/zero; printf %08d {}"
    target = artifact(f"$(set -- {' '.join(urls)}; shift $(( {{}} % 2 )); echo $1)", f"{key}/{{}}")
    upload = f"({file}) | curl -sSf --max-time 60 -T - {target}"
    deployed.cluster.run(f"seq 100 | xargs -P 8 -I{{}} sh -c {shlex.quote(upload)}", timeout=300)
    wanted = deployed.on_nas(f"seq 100 | xargs -I{{}} sh -c {shlex.quote(f'({file}) | sha256sum')} | cut -d' ' -f1")
    found = deployed.on_nas(f"cd {PATH}/{key}; seq 100 | xargs sha256sum | cut -d' ' -f1")
    assert len(set(found.split())) == 100
    assert found == wanted


#: What is changed of the export, and what is said of it.
FAULTS = {
    "read-only": (("Access_Type = RW", "Access_Type = RO"), "cannot create a file in it (EROFS), because the export is read-only"),
    "another user": (("Squash = root_squash", "Squash = all_squash"), "because the export maps the user to another one"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_export_is_named(deployed: Export, fault: str) -> None:
    """With its remedy, before MLflow is touched."""
    (old, new), said = FAULTS[fault]
    server = deployed.cluster.get("deployment", NAME)["metadata"]["generation"]
    with deployed.changed(old, new):
        run = deployed.deploy("artifact_store")
    assert run.status == 2, run.output
    message = run.failures[-1][1]
    assert message.startswith(f"artifact_store_nfs_path: '{deployed.nas.address}:{PATH}': ")
    assert said in message
    assert deployed.cluster.get("deployment", NAME)["metadata"]["generation"] == server


@pytest.fixture
def folders(deployed: Export) -> Iterator[Export]:
    """Further exports of the NAS: of root, and of a small file system that is full."""
    deployed.on_nas("mkdir -p /var/nfs/roots /var/nfs/full && mount -t tmpfs -o size=64k,mode=2770,uid=10001,gid=10001 tmpfs /var/nfs/full")
    try:
        for name in ("roots", "full"):
            assert deployed.serve(nfs_path=f"/var/nfs/{name}").status == 0
        deployed.on_nas("chown 0:0 /var/nfs/roots && chmod 755 /var/nfs/roots; head -c 1M /dev/zero >/var/nfs/full/all || true")
        yield deployed
    finally:
        for name in ("roots", "full"):
            deployed.serve(nfs_path=f"/var/nfs/{name}", nfs_state="absent")
        deployed.on_nas("umount /var/nfs/full")


def test_a_folder_that_cannot_be_used_is_named(folders: Export) -> None:
    """Of root under root_squash, full, of no export, and of no server."""
    for server, path, said in (
        (folders.nas.address, "/var/nfs/roots", "cannot create a file in it (EACCES), because it belongs to 0:0 with mode 755"),
        (folders.nas.address, "/var/nfs/full", "because it is full: free space on the NFS server"),
        (folders.nas.address, "/var/nfs/nowhere", "it is not exported to this node under this path: add the node to the export, or correct the path"),
        ("10.77.0.254", PATH, "check that the NFS server is up, and that nodes reach its port 2049"),
    ):
        other = {"artifact_store_name": "other", "artifact_store_app": "other"}
        run = folders.deploy("artifact_store", **other, artifact_store_nfs_server=server, artifact_store_nfs_path=path)
        assert run.status == 2, run.output
        message = run.failures[-1][1]
        assert message.startswith(f"artifact_store_nfs_path: '{server}:{path}': ")
        assert said in message
        folders.cluster.kubectl("delete", "job/other-check", "pvc/other")
        folders.cluster.kubectl("delete", "pv", "--selector", "app.kubernetes.io/name=other")


def test_a_run_after_that_converges_and_the_next_ones_change_nothing(deployed: Export) -> None:
    """Nor does check mode predict anything."""
    run = deployed.deploy(*SITE)
    assert run.status == 0, run.output
    for words in ([], ["--check"]):
        run = deployed.deploy(*SITE, words=words)
        assert (run.status, run.changed) == (0, 0), run.output


def test_a_server_that_hangs_takes_neither_health_nor_the_api_with_it(deployed: Export) -> None:
    """Twenty uploads wait, everything else answers, and once the server goes on, each upload is there."""
    key, urls = f"frozen-{time.time_ns()}", deployed.urls
    with ThreadPoolExecutor(20) as pool:
        with deployed.frozen():
            uploads = [
                pool.submit(deployed.curl, "-T", "-", artifact(urls[each % 2], f"{key}/{each}"), stdin=f"{each}" * MEBIBYTE, seconds=240)
                for each in range(20)
            ]
            end = time.monotonic() + 45
            while time.monotonic() < end:
                for url in urls:
                    deployed.curl(f"{url}/health", seconds=5)
                    deployed.curl(f"{url}/api/2.0/mlflow/experiments/get?experiment_id=0", seconds=5)
                time.sleep(1)
            assert not any(upload.done() for upload in uploads)
        for upload in uploads:
            upload.result()
    sizes = deployed.on_nas(f"cd {PATH}/{key}; stat -c '%n %s' * | sort -n").split("\n")
    assert sizes[:-1] == [f"{each} {len(str(each)) * MEBIBYTE}" for each in range(20)]
    pods = deployed.cluster.get("pods", "", "--selector", f"app.kubernetes.io/name={NAME},app.kubernetes.io/component=server")
    assert [state["restartCount"] for pod in pods for state in pod["status"]["containerStatuses"]] == [0, 0]


def test_nothing_is_deleted_with_the_deployment_nor_with_the_export(deployed: Export) -> None:
    """The claim and the PersistentVolume go, then the export; the files stay."""
    before = deployed.on_nas(f"find {PATH} -type f | wc -l")
    assert int(before) > 100
    run = play("mlops.mlflow.remove", {"kubernetes_namespace": NAMESPACE, "remove_confirmed": "yes"})
    assert run.status == 0, run.output
    assert deployed.cluster.get("pv", "", "--selector", f"mlops.mlflow/deployment={NAMESPACE}") == []
    for expected in (2, 0):
        run = deployed.serve(nfs_state="absent")
        assert (run.status, run.changed) == (0, expected), run.output
    assert deployed.on_nas(f"find {PATH} -type f | wc -l") == before
