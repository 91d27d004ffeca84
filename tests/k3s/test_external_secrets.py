"""Keys and passwords from Vault by External Secrets, as homelab has them: written there once, read from there, changed there, and lost for a while.

Both are real: OpenBao stands for Vault, and the operator is built by tests/hosts from its Go module.
"""
from __future__ import annotations

import copy
import json
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from playbook import SITE, Run, play, play_until, roles_playbook
from vault import STORE, URL, Vault, vault

# Not for what they break, but for the minutes that they take.
pytestmark = [pytest.mark.outage, pytest.mark.line("(homelab) credentials from Vault through External Secrets")]
NAMESPACE, BEFORE, NAME, DATABASE, ARTIFACTS = "vault-mlflow", "vault-before", "mlflow", "database", "store"
HOSTS = "/var/tmp/mlops-mlflow-hosts/inventory"
VARIABLES: dict[str, Any] = {
    "kubernetes_namespace": NAMESPACE, "kubernetes_timeout": 600,
    "postgresql_name": DATABASE, "postgresql_app": DATABASE, "postgresql_volume_size": "1Gi",
    "artifact_store_provider": "minio", "artifact_store_name": ARTIFACTS, "artifact_store_app": ARTIFACTS, "artifact_store_volume_size": "1Gi",
    "mlflow_server_name": NAME, "mlflow_server_app": NAME, "mlflow_server_host": "", "mlflow_server_ingress_auth": "none",
    "mlflow_server_auth": "basic", "mlflow_server_pool_size": 5, "mlflow_server_max_overflow": 2,
    "credentials_provider": "external_secret", "credentials_create_missing": True, "credentials_refresh_interval": "10s",
    "credentials_vault_url": URL, "credentials_vault_role": NAMESPACE,
}  # fmt: skip
ROLES = ("mlflow_image", "postgresql", "artifact_store", "mlflow_server")
#: The Secrets with what no variable gives.
SECRETS = {
    DATABASE: ["admin-password", "password"], f"{ARTIFACTS}-root": ["secret-key"], f"{ARTIFACTS}-mlflow": ["secret-key"],
    NAME: ["admin-password", "crypto-passphrase", "flask-secret-key", "ingress-password", "webhook-key"],
}  # fmt: skip
KINDS = ("externalsecrets.external-secrets.io", "pushsecrets.external-secrets.io", "secretstores.external-secrets.io", "secret")


@dataclass
class Deployment:
    """The server: its cluster, as ``kubectl`` in its namespace has it, Vault, the folder for playbooks, and what -e says of the test hosts."""

    cluster: Cluster
    vault: Vault
    folder: Path
    more: dict[str, Any]
    printed: list[str] = field(default_factory=list)
    #: What check mode said that the first run would change, and what it did.
    first: tuple[list[str], list[str]] = ([], [])

    def site(self, *words: str, **variables: Any) -> Run:
        """Run site.yml with no other inventory than the hosts."""
        return self._played(SITE, words, variables)

    def deploy(self, *roles: str, words: Sequence[str] = (), **variables: Any) -> Run:
        """Run roles on the first server, all that keep a value if none is named."""
        return self._played(roles_playbook(self.folder, roles or ROLES), words, variables)

    def kill_after_writing(self, role: str) -> None:
        """Kill a run of a role once it has written a value to Vault, before anybody has read it there."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TEST_INVENTORY", HOSTS)
            task = f"Have External Secrets read {DATABASE}"
            self.printed.append(play_until(task, str(roles_playbook(self.folder, [role])), {**VARIABLES, **self.more}))

    def _played(self, playbook: str | Path, words: Sequence[str], variables: dict[str, Any]) -> Run:
        given = {name: value for name, value in {**VARIABLES, **self.more, **variables}.items() if value is not None}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TEST_INVENTORY", HOSTS)
            run = play(playbook, given, words=words, timeout=1500)
        self.printed.append(run.output)
        return run

    def there(self) -> dict[str, set[str]]:
        """The names of what a run may make."""
        return {kind.partition(".")[0]: {each["metadata"]["name"] for each in self.cluster.get(kind)} for kind in KINDS}

    def vaults(self) -> dict[str, dict[str, str]]:
        """What Vault has, by Secret."""
        return {name: self.vault.values(f"{NAMESPACE}/{name}") for name in SECRETS}

    def ask(self, path: str, password: str = "") -> str:
        """What MLflow answers on the first server to its administrator."""
        url = f"http://{self.cluster.get('service', NAME)['spec']['clusterIP']}:5000/api/2.0/mlflow/{path}"
        login = f"admin:{password or self.cluster.secret(NAME)['admin-password']}"
        return self.cluster.run(shlex.join(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", "--user", login, url]))

    def sql(self, statement: str, password: str) -> str:
        """What PostgreSQL answers to MLflow's role, over the network."""
        quoted = password.replace("'", "\\'")
        host = f"host=127.0.0.1 user=mlflow dbname=mlflow password='{quoted}' sslmode=require"
        return self.cluster.kubectl("exec", f"{DATABASE}-0", "--container", "postgresql", "--", "psql", "-tA", host, "-c", statement).strip()

    def read_by_the_operator(self, name: str, key: str, value: str) -> None:
        """Wait until External Secrets has read the value by itself."""
        end = time.monotonic() + 60
        while self.cluster.secret(f"{name}-vault").get(key) != value:
            assert time.monotonic() < end, f"External Secrets has not read {key} of {name}"
            time.sleep(2)


@pytest.fixture(scope="module")
def deployment(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Vault and External Secrets; at the end, they are removed, with all that was deployed."""
    folder, apart = tmp_path_factory.mktemp("vault"), copy.copy(cluster)
    apart.namespace = NAMESPACE
    names = {"mlflow_image_existing": cluster.name, "artifact_store_image": str(cluster.variables["artifact_store_name"])}
    images = {option: cluster.get("deployment", name)["spec"]["template"]["spec"]["containers"][0]["image"] for option, name in names.items()}
    more = {"k3s_registries": cluster.variables["k3s_registries"], **images}
    with vault(cluster, folder) as found:
        found.let_in(NAMESPACE, NAMESPACE)
        try:
            yield Deployment(apart, found, folder, more | {"credentials_vault_ca": found.ca})
        finally:
            for namespace in (NAMESPACE, BEFORE):
                cluster.delete_namespace(namespace)


@pytest.fixture(scope="module")
def database(deployment: Deployment) -> Deployment:
    """The same once PostgreSQL is deployed, whose passwords were made for Vault."""
    predicted = deployment.deploy("postgresql", words=["--check", "--diff"])
    assert predicted.status == 0, predicted.output
    assert deployment.vault.values(f"{NAMESPACE}/{DATABASE}") == {}, "check mode has written to Vault"
    # As it would print values, if it did.
    run = deployment.deploy("postgresql", words=["-vvv", "--diff"])
    assert run.status == 0, run.output
    deployment.first = (predicted.changes, run.changes)
    return deployment


@pytest.fixture(scope="module")
def deployed(database: Deployment) -> Deployment:
    """The same once MLflow is deployed and has passed its own verification."""
    run = database.site("-vvv", "--diff")
    assert run.status == 0, run.output
    return database


def test_check_mode_predicts_the_first_run(database: Deployment) -> None:
    """Task by task, though nothing is there yet."""
    predicted, done = database.first
    assert predicted == done


def test_a_run_after_the_first_changes_nothing(database: Deployment) -> None:
    """Nothing of what was for writing is left, and Vault has what the Secret has."""
    values = database.vault.values(f"{NAMESPACE}/{DATABASE}")
    assert sorted(values) == SECRETS[DATABASE]
    for words in ([], ["--check"]):
        run = database.deploy("postgresql", words=words)
        assert (run.status, run.changed) == (0, 0), run.output
    assert values == database.vault.values(f"{NAMESPACE}/{DATABASE}") == database.cluster.secret(DATABASE)
    there = database.there()
    assert (there["pushsecrets"], there["externalsecrets"]) == (set(), {DATABASE})
    assert f"{DATABASE}-new" not in there["secret"]


def test_a_sealed_vault_stops_the_run_with_the_operators_own_words(database: Deployment) -> None:
    """Before its first change; once Vault is open, the next run is as ever."""
    with database.vault.sealed():
        run = database.deploy("postgresql")
        assert (run.status, run.changed) == (2, 0), run.output
        message = run.failures[-1][1]
        assert "SecretStore credentials failed" in message
        assert "Vault is sealed; unseal it" in message
    run = database.deploy("postgresql")
    assert (run.status, run.changed) == (0, 0), run.output


def test_a_value_that_vault_has_lost_is_named_or_written_again_as_it_was(database: Deployment) -> None:
    """The one that is in use, not a new one; also where an earlier run was killed after it had written it."""
    place = f"{NAMESPACE}/{DATABASE}"
    before = database.vault.values(place)
    database.vault.run("kv", "put", "-mount=secret", place, "password=-", stdin=before["password"])
    run = database.deploy("postgresql", credentials_create_missing=False)
    assert (run.status, run.changed) == (2, 0), run.output
    message = run.failures[-1][1]
    assert "ExternalSecret database failed" in message
    assert "admin-password" in message
    assert "write it into Vault, or set credentials_create_missing: true" in message
    for kill in (True, False):
        database.vault.run("kv", "put", "-mount=secret", place, "password=-", stdin=before["password"])
        if kill:
            database.kill_after_writing("postgresql")
            assert database.vault.values(place) == before
            assert database.there()["pushsecrets"] == {DATABASE}
    run = database.deploy("postgresql")
    assert run.status == 0, run.output
    assert database.vault.values(place) == before
    assert database.there()["pushsecrets"] == set()
    assert database.deploy("postgresql").changed == 0


def test_a_deployment_that_has_its_own_values_takes_them_along(database: Deployment) -> None:
    """By a store that somebody else has made: Vault gets the password that is in use, and the Secret stays as it is."""
    store = {"credentials_vault_url": "", "credentials_vault_ca": "", "credentials_store": database.vault.cluster_store(), "credentials_path": BEFORE}
    own = {"kubernetes_namespace": BEFORE}
    run = database.deploy("postgresql", credentials_provider="kubernetes_secret", **own)
    assert run.status == 0, run.output
    apart = copy.copy(database.cluster)
    apart.namespace = BEFORE
    before = apart.secret(DATABASE)
    refused = database.deploy("postgresql", **own, **store, credentials_create_missing=False)
    assert refused.status == 2, refused.output
    assert "Secret does not exist; write it into Vault, or set credentials_create_missing: true" in refused.failures[-1][1]
    run = database.deploy("postgresql", **own, **store)
    assert run.status == 0, run.output
    assert database.vault.values(f"{BEFORE}/{DATABASE}") == before == apart.secret(DATABASE)
    assert apart.get("secretstores.external-secrets.io") == []
    assert database.deploy("postgresql", **own, **store).changed == 0
    missing = database.deploy("postgresql", **own, **{**store, "credentials_store": "no-such-store"})
    assert missing.status == 2, missing.output
    assert "ClusterSecretStore no-such-store failed" in missing.failures[-1][1]
    # A store of somebody else has no annotation of ours.
    assert "mlops.mlflow" not in json.dumps(json.loads(database.cluster.run(f"k3s kubectl get clustersecretstore {STORE} -o json"))["metadata"])


def test_vault_has_each_value_once_and_the_secrets_have_the_same(deployed: Deployment) -> None:
    """Of what no variable gives; what a variable gives is not in Vault, and nothing of what they were written by is left."""
    values = deployed.vaults()
    assert {name: sorted(each) for name, each in values.items()} == SECRETS
    for name, each in values.items():
        assert each.items() <= deployed.cluster.secret(name).items()
        assert all(len(value) == 32 for value in each.values())
    there = deployed.there()
    assert there["pushsecrets"] == set()
    assert there["externalsecrets"] == set(SECRETS)
    assert {name for name in there["secret"] if name.endswith(("-new", "-vault"))} == {f"{name}-vault" for name in SECRETS}
    assert there["secretstores"] == {"credentials"}
    assert deployed.ask("experiments/get?experiment_id=0") == "200"


@pytest.mark.parametrize("words", [(), ("--check",)], ids=["run", "check"])
def test_a_second_run_changes_nothing(deployed: Deployment, words: Sequence[str]) -> None:
    """Neither in the cluster nor in Vault."""
    before = deployed.vaults()
    run = deployed.site(*words)
    assert (run.status, run.changed) == (0, 0), run.output
    assert deployed.vaults() == before


def test_without_the_operator_mlflow_goes_on_and_a_run_names_it(deployed: Deployment) -> None:
    """A pod that starts has the values that are there; the run changes nothing, says who has not acted, and the next one is as ever."""
    with deployed.vault.without_the_operator():
        run = deployed.deploy()
        assert (run.status, run.changed) == (2, 0), run.output
        assert "External Secrets has not acted on it; check that its operator runs: kubectl get pods" in run.failures[-1][1]
        deployed.cluster.kubectl("rollout", "restart", f"deployment/{NAME}")
        deployed.cluster.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=240s", timeout=250)
        assert deployed.ask("experiments/get?experiment_id=0") == "200"
    run = deployed.deploy()
    assert run.status == 0, run.output
    assert deployed.deploy().changed == 0


def test_a_password_that_is_changed_in_vault_waits_for_a_run_and_reaches_all(deployed: Deployment) -> None:
    """PostgreSQL before MLflow; until then, everything goes on with the old one, and check mode says what will change."""
    old, new = deployed.vaults()[DATABASE]["password"], "It's/a @password:%40"
    deployed.vault.put(f"{NAMESPACE}/{DATABASE}", password=new)
    deployed.read_by_the_operator(DATABASE, "password", new)
    assert deployed.cluster.secret(DATABASE)["password"] == old
    assert deployed.ask("experiments/get?experiment_id=0") == "200"
    predicted = deployed.deploy(words=["--check"])
    assert predicted.status == 0, predicted.output
    run = deployed.deploy()
    assert run.status == 0, run.output
    assert run.changes == predicted.changes
    assert any("Apply" in title for title in run.changes), run.changes
    assert deployed.cluster.secret(DATABASE)["password"] == new
    assert deployed.sql("SELECT current_user", new) == "mlflow"
    assert deployed.ask("experiments/get?experiment_id=0") == "200"
    assert deployed.deploy().changed == 0


def test_the_administrators_password_is_changed_in_the_same_way(deployed: Deployment) -> None:
    """At once, without waiting for the operator's own interval: the run has it read Vault."""
    old, new = deployed.vaults()[NAME]["admin-password"], "another-administrators-password"
    deployed.vault.put(f"{NAMESPACE}/{NAME}", **{"admin-password": new})
    run = deployed.deploy()
    assert run.status == 0, run.output
    assert (deployed.ask("experiments/get?experiment_id=0", new), deployed.ask("experiments/get?experiment_id=0", old)) == ("200", "401")


def test_a_key_that_encrypts_is_not_exchanged(deployed: Deployment) -> None:
    """The run stops before its first change, in one sentence without the value."""
    old = deployed.vaults()[NAME]["webhook-key"]
    deployed.vault.put(f"{NAMESPACE}/{NAME}", **{"webhook-key": "a-key-that-opens-nothing"})
    try:
        run = deployed.deploy()
        assert run.status == 2, run.output
        assert f"credentials_path: '{NAMESPACE}/{NAME}' has another webhook-key than the one that rows of the database" in run.failures[-1][1]
        assert deployed.cluster.secret(NAME)["webhook-key"] == old
    finally:
        deployed.vault.put(f"{NAMESPACE}/{NAME}", **{"webhook-key": old})


def test_a_rotation_is_left_to_vault(deployed: Deployment) -> None:
    """By the playbook, in one sentence, before anything is changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TEST_INVENTORY", HOSTS)
        run = play("mlops.mlflow.rotate", {**VARIABLES, **deployed.more, "rotate": "database_password"}, timeout=600)
    assert (run.status, run.changed) == (2, 0), run.output
    assert "rotate: the keys and passwords are Vault's (credentials_provider), so nothing is rotated here" in run.failures[-1][1]


def test_no_value_was_printed(deployed: Deployment) -> None:
    """By any run before, in any verbosity."""
    values = {value for each in deployed.vaults().values() for value in each.values()}
    values |= {each["data"]["data"][key] for name, keys in SECRETS.items() for key in keys for each in [_first(deployed, name)]}
    assert len(values) > len([key for keys in SECRETS.values() for key in keys])
    assert [value for value in values for output in deployed.printed if value in output] == []


def _first(deployed: Deployment, name: str) -> Any:
    """The first version that Vault has of the values of a Secret with all of them."""
    count = len(SECRETS[name])
    return json.loads(deployed.vault.run("kv", "get", "-format=json", "-mount=secret", f"-version={count}", f"{NAMESPACE}/{name}"))


def test_a_removal_leaves_vault_as_it_is(deployed: Deployment) -> None:
    """All of the deployment goes, with what External Secrets has read for it."""
    before = deployed.vaults()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TEST_INVENTORY", HOSTS)
        run = play("mlops.mlflow.remove", {**VARIABLES, **deployed.more, "remove_confirmed": "yes"}, timeout=600)
    assert run.status == 0, run.output
    assert NAMESPACE not in deployed.cluster.run("k3s kubectl get namespaces --output name").replace("namespace/", "").split()
    assert deployed.vaults() == before
