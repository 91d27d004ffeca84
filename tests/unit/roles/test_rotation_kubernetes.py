"""What a rotation changes of a server in a cluster, and in which order, without one."""
from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import kubernetes
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.rotation_kubernetes import DECISIONS

SECRETS = {
    "db": {"admin-password": "a", "password": "b"},
    "s3-root": {"access-key": "admin", "secret-key": "c"}, "s3": {"access-key": "m", "secret-key": "d"},
    "m": {"webhook-key": "e", "crypto-passphrase": "f", "flask-secret-key": "g", "admin-password": "h", "ingress-password": "i"},
    "login": {"cookie-secret": "k"}, "kc": {"admin-password": "l", "client-secret": "n"},
}  # fmt: skip
#: Of what a variable gives nothing is rotated.
GIVEN_KEYS = {"s3-root": ["access-key"], "s3": ["access-key"]}
ENV = [{"name": name, "valueFrom": {"secretKeyRef": {"name": "m-env", "key": name}}} for name in (
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", "MLFLOW_CRYPTO_KEK_PASSPHRASE"
)]  # fmt: skip
CONTAINER = {"name": "mlflow", "image": "i", "env": ENV, "args": ["--port", "5000"], "livenessProbe": {}, "volumeMounts": [{"name": "tmp"}]}
DEPLOYMENT = {
    "metadata": {"name": "m"},
    "spec": {"replicas": 2, "template": {
        "metadata": {"labels": {"app.kubernetes.io/component": "server", "app.kubernetes.io/name": "a"}},
        "spec": {"containers": [CONTAINER], "volumes": [{"name": "tmp"}], "restartPolicy": "Always", "nodeSelector": {"disk": "ssd"}},
    }},
}  # fmt: skip
ENDPOINT = {"username": "admin", "public": {"password_secret": {"key": "ingress-password"}, "tls_secret": "m-tls"}}
EVERYTHING = [
    "database_password", "s3_keys", "admin_password", "flask_key", "ingress_password", "oidc_client_secret", "cookie_secret", "webhook_key",
    "kek", "tls",
]  # fmt: skip


def given(*keys: str, note: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    held = {"data": {key: b64encode(value.encode()).decode() for key, value in (note or {}).items()}} if note else {}
    return {
        "variables": {"mlflow_rotation_runtime": "kubernetes", "mlflow_rotation_keys": list(keys)}, "secrets": SECRETS, "current": [],
        "given_keys": GIVEN_KEYS, "deployment": DEPLOYMENT,
        "note": held, "endpoint": ENDPOINT, "resumes": bool(note), "check_mode": False, "runner": "run", "programs": {},
        "postgresql": {"secret_environment": {"PGPASSWORD": {"name": "db", "key": "password"}}}, **changes,
    }  # fmt: skip


def decide(name: str, what: dict[str, Any]) -> Any:
    return DECISIONS[f"cluster_{name}"](what)


def noted(*keys: str) -> dict[str, Any]:
    """What is given once it was written down, each value being its name."""
    return given(*keys, note={name: value or f"new-{name}" for name, value in decide("note", given(*keys)).items()})


def test_all_is_what_the_deployment_has() -> None:
    assert decide("rotates", given("all")) == EVERYTHING
    least = given("all", endpoint={"username": "", "public": {}}, secrets={"m": SECRETS["m"]}, postgresql={})
    assert decide("rotates", least) == ["webhook_key", "kek"]


@pytest.mark.parametrize(
    ("key", "changes", "says"),
    [
        ("database_password", {"given_keys": {"db": ["password", "admin-password"]}}, "a variable gives it; change it there, and run the"),
        ("database_password", {"postgresql": {}}, "PostgreSQL is not the deployment's own"),
        ("s3_keys", {"secrets": {"m": SECRETS["m"]}}, "the store has no keys of the deployment's own"),
        ("oidc_client_secret", {"secrets": {"m": SECRETS["m"]}}, "the identity provider is not the deployment's own"),
        ("cookie_secret", {"secrets": {"m": SECRETS["m"]}}, "people do not log in by oauth2-proxy"),
        ("ingress_password", {"endpoint": {"username": ""}}, "the Ingress asks for no password"),
        ("admin_password", {"endpoint": {"username": ""}}, "the server takes requests without a password"),
        ("tls", {"endpoint": {"public": {"tls_secret": "m-given-tls"}}}, "the certificate of the Ingress is not the deployment's own"),
    ],
)
def test_what_a_deployment_does_not_have_is_refused(key: str, changes: dict[str, Any], says: str) -> None:
    assert decide("obstacle", given(key)) == ""
    assert decide("obstacle", given(key, **changes)).startswith(f"rotate: there is no {key} to rotate, since {says}")
    assert decide("obstacle", given("all", **changes)) == ""


def test_a_key_of_the_environment_that_is_none_of_the_secret_is_refused() -> None:
    container = {**CONTAINER, "env": [ENV[0], {"name": "MLFLOW_CRYPTO_KEK_PASSPHRASE", "value": "own"}]}
    deployment = {**DEPLOYMENT, "spec": {"template": {"spec": {"containers": [container]}}}}
    assert decide("obstacle", given("kek", deployment=deployment)) == (
        "rotate: Deployment/m has a MLFLOW_CRYPTO_KEK_PASSPHRASE of its own; remove it from mlflow_server_environment first"
    )
    assert decide("obstacle", given("webhook_key", deployment=deployment)) == ""


def test_of_what_a_variable_gives_in_part_the_rest_is_rotated() -> None:
    note = decide("note", given("database_password", given_keys={"db": ["admin-password"]}))
    assert note == {"db_password": "", "rotates": "database_password", "replicas": "2"}


def test_what_is_written_down_has_no_value_yet() -> None:
    assert decide("note", given("s3_keys", "kek", "tls")) == {
        "s3-root_secret-key": "", "s3_secret-key": "", "m_crypto-passphrase": "", "rotates": "s3_keys,kek,tls", "replicas": "2",
    }  # fmt: skip


def test_what_was_begun_is_finished_with_the_values_that_were_written_down() -> None:
    begun = {"m_webhook-key": "z", "rotates": "webhook_key", "replicas": "3"}
    current = [{"metadata": {"name": "m"}, "data": {"webhook-key": b64encode(b"y").decode()}}]
    again = given("kek", note=begun, endpoint={}, secrets={}, current=current, deployment={"metadata": {"name": "m"}, "spec": {"replicas": 0}})
    assert (decide("noted", again), decide("note", again), decide("plan", again)["is_left"]) == (["m"], begun, True)
    current[0]["data"]["webhook-key"] = b64encode(b"z").decode()
    assert decide("plan", again)["is_left"] is False
    assert decide("plan", again)["started"]["spec"] == {"replicas": 3}
    passwords = noted("database_password")
    assert [decide("plan", {**passwords, "resumes": resumes})["roles"] for resumes in (True, False)] == [[], ["postgresql", "mlflow_server"]]
    assert decide("lines", again) == ["Rotated: webhook_key", "A rotation was interrupted, and is finished first", "Run this again for kek"]


def patched(plan: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {each["metadata"]["name"]: {key: b64decode(text).decode() for key, text in each["data"].items()} for each in plan["patches"]}


def test_what_encrypts_stops_the_server_and_starts_it_before_the_roles_run() -> None:
    plan = decide("plan", noted("webhook_key", "kek"))
    assert (plan["stops"], plan["roles"], plan["encrypts"]) == (True, [], ["webhook_key", "kek"])
    assert patched(plan) == {
        "m": {"webhook-key": "new-m_webhook-key", "crypto-passphrase": "new-m_crypto-passphrase"},
        "m-env": {
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": b64encode(b"new-m_webhook-key").decode(),
            "MLFLOW_CRYPTO_KEK_PASSPHRASE": "new-m_crypto-passphrase",
        },
    }  # fmt: skip
    assert [plan[name]["spec"] for name in ("stopped", "started")] == [{"replicas": 0}, {"replicas": 2}]
    assert [plan[name]["metadata"]["annotations"][kubernetes.ROTATION] for name in ("stopped", "started")] == ["begun", None]


def test_the_roles_whose_servers_take_a_new_value_run_at_once() -> None:
    asked = (["s3_keys", "kek"], ["database_password"], ["database_password", "kek"], ["tls"])
    roles = [decide("plan", {**noted(*keys), "resumes": False})["roles"] for keys in asked]
    assert roles == [["artifact_store"], ["postgresql", "mlflow_server"], ["postgresql"], []]


def test_a_server_that_was_marked_is_started_though_all_secrets_have_the_new_values() -> None:
    what = noted("kek")
    secrets = {**SECRETS, "m": {**SECRETS["m"], "crypto-passphrase": "new-m_crypto-passphrase"}}
    marked = {**DEPLOYMENT, "metadata": {"name": "m", "annotations": {kubernetes.ROTATION: "begun"}}}
    for deployment, is_left in ((marked, True), (DEPLOYMENT, False)):
        plan = decide("plan", {**what, "secrets": secrets, "deployment": deployment})
        assert (plan["is_left"], plan["stops"], plan["encrypts"]) == (is_left, is_left, [])


@pytest.mark.parametrize("key", sorted({*EVERYTHING} - {"s3_keys", "webhook_key", "kek"}))
def test_what_does_not_encrypt_stops_nothing(key: str) -> None:
    plan = decide("plan", noted(key))
    assert (plan["stops"], plan["encrypts"], plan["is_left"]) == (False, [], key != "tls")
    assert "m-env" not in patched(plan)


def test_nothing_is_left_once_all_secrets_have_the_new_values() -> None:
    partly = noted("webhook_key", "s3_keys")
    for name, is_left in (("m_webhook-key", True), ("s3_secret-key", True), ("s3-root_secret-key", False)):
        secret, _line, key = name.partition("_")
        partly = {**partly, "secrets": {**partly["secrets"], secret: {**partly["secrets"][secret], key: f"new-{name}"}}}
        plan = decide("plan", partly)
        assert (plan["is_left"], plan["stops"], bool(plan["encrypts"])) == (is_left, is_left, is_left)


def test_the_job_is_a_pod_of_the_server_with_the_note_and_without_a_value_in_its_arguments() -> None:
    what = noted("kek")
    job = decide("job", what)
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert (container["image"], container["env"], pod["nodeSelector"], pod["restartPolicy"]) == ("i", ENV, {"disk": "ssd"}, "Never")
    assert not {"args", "livenessProbe"} & container.keys()
    assert pod["volumes"][-1]["secret"]["secretName"] == "m-rotation"
    assert job["spec"]["template"]["metadata"]["labels"] == {"app.kubernetes.io/component": "migration", "app.kubernetes.io/name": "a"}
    assert json.loads(container["command"][-1])["settings"] == {"action": "change", "rotates": ["kek"], "folder": "/rotation", "server": "m"}
    assert "new-" not in json.dumps(job)


def test_a_rotation_that_was_interrupted_keeps_other_runs_away() -> None:
    others = {"kind": "StatefulSet", "name": "db", "annotations": {}}
    workloads = [others, {"kind": "Deployment", "name": "m", "annotations": {kubernetes.ROTATION: "begun"}}]
    said = kubernetes.DECISIONS["interrupted"]({"workloads": workloads})
    assert said.startswith("kubernetes_deployment: a rotation of the keys of Deployment/m was interrupted")
    assert "mlops.mlflow.rotate -e rotate=all" in said


@pytest.mark.parametrize(
    ("states", "is_unchanged"),
    [
        ([{"terminated": {"exitCode": 1}}], True), ([{"terminated": {"exitCode": 1}}, {"terminated": {"exitCode": 1}}], True),
        ([{"terminated": {"exitCode": 0}}], False), ([{"terminated": {"exitCode": 2}}], False), ([{"terminated": {"exitCode": 137}}], False),
        ([{"running": {}}], False), ([{"waiting": {"reason": "ImagePullBackOff"}}], False), ([{}], False),
        ([{"terminated": {"exitCode": 1}}, {"running": {}}], False), ([], False),
    ],
)  # fmt: skip
def test_the_old_keys_are_served_again_only_if_all_pods_of_the_job_say_that_nothing_has_changed(states: list[Any], is_unchanged: bool) -> None:
    pods = [{"status": {"containerStatuses": [{"name": "rotation", "state": state}]}} for state in states]
    assert decide("has_changed_nothing", {"pods": pods}) is is_unchanged
    assert decide("has_changed_nothing", {"pods": [*pods, {"status": {"phase": "Pending"}}]}) is False
