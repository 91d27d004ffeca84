"""mlflow_resources against a real MLflow: plan, apply, prune, export, faults in the middle, several writers."""
from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from faults import FAULTS, Faults
from harness import ANSIBLE, COLLECTIONS, ROOT, ModuleRunner, Stack, Table, Task, WriteGuard, twelve_steps
from tracking_servers import Flavour, Server, Servers

MODULE = "mlflow_resources"
MODELS = "/api/2.0/mlflow/registered-models"
VERSIONS = "/api/2.0/mlflow/model-versions"
Apply = Callable[..., dict[str, Any]]
Declaration = dict[str, list[dict[str, Any]]]

EVERYTHING = ("experiments", "registered_models", "model_versions", "prompts", "webhooks")


@pytest.fixture(scope="module")
def server(servers: Servers) -> Server:
    """A server that this file has to itself, since it exports and prunes all of it."""
    return servers(Flavour("3.17.2", "sqlite", env=(("MLFLOW_TEST_OF", "resources"),)))


@pytest.fixture
def run(server: Server) -> Iterator[ModuleRunner]:
    """Runs the module against a server on which nothing is declared yet."""
    empty(server.run)
    yield server.run
    empty(server.run)


def empty(run: ModuleRunner) -> None:
    result = run.alone(Task(MODULE, {**{section: [] for section in EVERYTHING}, "prune": list(EVERYTHING), "prune_limit": 100}))
    assert not result.get("failed"), result


@pytest.fixture
def apply(run: ModuleRunner, tmp_path: Path) -> Apply:
    """Applies a declaration, given as a dictionary or as YAML, from a file, where braces are a prompt's own."""

    def call(declaration: dict[str, Any] | str) -> dict[str, Any]:
        path = tmp_path / "declaration.yml"
        path.write_text(declaration if isinstance(declaration, str) else yaml.safe_dump(declaration, allow_unicode=True))
        return run.succeed(MODULE, src=str(path))

    return call


def export(run: ModuleRunner) -> str:
    result = run.succeed(MODULE, state="exported")
    assert not result["changed"]
    return str(result["yaml"])


def live(run: ModuleRunner) -> Any:
    """What is on the server, without the YAML that the action plugin makes of it."""
    return run.alone(Task(MODULE, {"state": "exported"}))["resources"]


DECLARATION: Declaration = {
    "experiments": [
        {"name": "имя опыта 模型 🤖", "tags": {"team": "risk", "mlflow.note.content": "two\nlines"}},
        {"name": "a/b: quote ' \" percent %20 $(x)", "artifact_location": "s3://elsewhere/a"},
        {"name": "n" * 250},
    ],
    "registered_models": [
        {"name": "имя модели 模型 🤖", "description": "d" * 5000, "tags": {"tier": 1}},
        {"name": ".leading ' \" %20 + & ; $(x) \\"},
    ],
    "model_versions": [
        {"name": "имя модели 模型 🤖", "source": "s3://b/1", "aliases": ["champion"], "tags": {"a": "1"}},
        {"name": "имя модели 模型 🤖", "source": "s3://b/2", "aliases": ["challenger", "next"], "description": "new"},
        {"name": "имя модели 模型 🤖", "source": "s3://b/1"},
    ],
    "prompts": [
        {"name": "summarise", "versions": [{"template": "Sum up: {{ text }}"}, {"template": "Sum up,\nshortly: {{ text }}", "aliases": ["live"]}]},
    ],
    "webhooks": [{"name": "hook", "url": "https://127.0.0.1:9/x", "events": ["registered_model.created"]}],
}


def test_twelve_steps(run: ModuleRunner, server: Server) -> None:
    names = [{"name": f"twelve {number}", "tags": {"team": "risk"}} for number in range(3)]
    changed = [{**entry, "tags": {"team": "fraud"}} for entry in names[:2]]
    table = Table(
        module=MODULE,
        create={"experiments": names, "registered_models": names},
        change={"experiments": changed, "registered_models": [*changed, {"name": "twelve 2", "description": "new"}]},
        delete={section: [{"name": entry["name"], "state": "absent"} for entry in names] for section in ("experiments", "registered_models")},
    )
    with WriteGuard(server.stack.tracking_uri).running() as guard:
        twelve_steps(run, table, {"MLFLOW_TRACKING_URI": guard.uri}, lambda: guard.writes)


def test_everything_at_once_and_again(apply: Apply) -> None:
    result = apply(DECLARATION)
    assert result["counts"] == {"created": sum(len(entries) for entries in DECLARATION.values()), "changed": 0, "deleted": 0, "same": 0}
    again = apply(DECLARATION)
    assert (again["changed"], again["actions"]) == (False, [])


def test_an_export_makes_the_same_server(run: ModuleRunner, apply: Apply) -> None:
    apply(DECLARATION)
    first = export(run)
    assert "mlflow.prompt" not in first
    (described,) = (entry for entry in yaml.safe_load(first)["experiments"] if entry["name"] == "имя опыта 模型 🤖")
    assert described["tags"] == {"mlflow.note.content": "two\nlines", "team": "risk"}
    empty(run)
    assert "champion" not in export(run)
    apply(first)
    assert export(run) == first
    assert not apply(first)["changed"]


def test_the_plan_is_read_with_pleasure(run: ModuleRunner) -> None:
    run.succeed(MODULE, experiments=[{"name": "old"}, {"name": "kept", "tags": {"team": "risk"}}])
    wanted = [{"name": "kept", "tags": {"team": "fraud", "gone": None}}, {"name": "new", "tags": {"text": "one\ntwo"}}]
    arguments = {"experiments": wanted, "prune": ["experiments"], "prune_limit": 50}
    predicted = run(MODULE, arguments, check=True)
    assert predicted["diff"]["prepared"] == (
        "experiments\n"
        "  ~ kept\n"
        "      tags.team: risk -> fraud\n"
        "  + new\n"
        "      tags.text:\n"
        "        + one\n"
        "        + two\n"
        "  - old\n"
        "\n"
        "1 to create, 1 to change, 1 to delete, 0 as declared\n"
    )
    assert run(MODULE, arguments)["diff"] == predicted["diff"]


def test_prune_is_asked_for_and_bounded(run: ModuleRunner) -> None:
    run.succeed(MODULE, experiments=[{"name": f"e{number}"} for number in range(10)], registered_models=[{"name": "model"}])
    kept = [{"name": f"e{number}"} for number in range(7)]
    assert not run.succeed(MODULE, experiments=kept)["changed"]
    message = run.fail(MODULE, experiments=kept, prune=["experiments"])
    assert "prune: 3 of 10 experiments are not declared, which is more than the prune_limit of 20 percent; nothing was changed" in message
    assert "is not declared; declare registered_models, if only as an empty list" in run.fail(MODULE, prune=["registered_models"])
    result = run.succeed(MODULE, experiments=kept, prune=["experiments"], prune_limit=30)
    assert result["actions"] == ["delete experiment e7", "delete experiment e8", "delete experiment e9"]
    assert "registered_models" in yaml.safe_load(export(run))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"experiments": [{"name": "a"}, {"name": "a"}]}, "experiments: 'a' is declared twice; keep one of the two"),
        ({"experiments": [{"name": "a", "nome": "a"}]}, "experiments.nome"),
        ({"experiments": [{"name": "a", "tags": {"k": [1]}}]}, "experiments: 'a': tags: 'k' has a value that is a list"),
        ({"registered_models": [{"name": "a/b"}]}, "registered_models: 'a/b': name: 'a/b' contains '/'"),
        ({"registered_models": [{"name": "m", "aliases": {"champion": 7}}]}, "aliases: 'champion' cannot name version 7"),
        ({"declaration": {"experimints": []}}, "declaration: 'experimints' is not a list of a declaration; use "),
        ({"declaration": {"experiments": {"name": "a"}}}, "declaration: 'experiments' is not a list; start each entry with a dash"),
        ({"prune": ["models"]}, "prune: 'models' is not a list of a declaration; use "),
        ({"src": "nowhere.yml"}, "src: 'nowhere.yml' does not exist"),
        ({"connections": 0}, "connections: 0 is too small"),
        ({"dest": "out.yml"}, "dest: requires state: exported"),
    ],
)
def test_bad_declarations_change_nothing(run: ModuleRunner, args: dict[str, Any], expected: str) -> None:
    before = live(run)
    other = {"experiments": [{"name": "not written"}, *args.get("experiments", [])]}
    for check in (False, True):
        assert expected in run.fail(MODULE, check=check, **{**args, **other})
    assert live(run) == before


WHERE = {
    "null.yml": ("experiments: [null]\n", "null.yml: experiments: entry 1: it is null, not a dictionary; write name: … after the dash"),
    "name.yml": ("experiments:\n  - name: a\n  - tags: {a: b}\n", "name.yml: experiments: entry 2: experiments.name: is missing"),
    "linkage.yml": (
        "gateway_endpoints:\n  - name: chat\n    models: [{model_definition: gpt, linkage: primary}]\n",
        "linkage.yml: gateway_endpoints: entry 1 'chat': gateway_endpoints.models: its entry 1: gateway_endpoints.models.linkage: "
        "'primary' is not one of the allowed values; use PRIMARY, FALLBACK",
    ),
    "rule.yml": ("registered_models:\n  - name: fine\n  - name: a/b\n", "rule.yml: registered_models: 'a/b': name: 'a/b' contains '/'"),
    "server.yml": (
        "registered_models:\n  - {name: m, aliases: {champion: 7}}\n",
        "server.yml: registered_models: 'm': aliases: 'champion' cannot name version 7",
    ),
    "twice.yml": ("experiments: [{name: from a}]\n", "twice.yml: experiments: 'from a' is declared twice; keep one of the two"),
    "keys.yml": ("webhooks:\n  - name: lost\nwebhooks: []\n", "keys.yml: line 3: 'webhooks' is given twice in one dictionary"),
    "inner.yml": ("experiments:\n  - name: a\n    tags: {1: a, '1': b}\n", "inner.yml: line 3: '1' is given twice in one dictionary"),
    "misspelt.yml": (
        "users:\n  - {username: ann, pasword: hunter2 hunter2}\n", "misspelt.yml: users: entry 1 'ann': users.pasword: is not an option"
    ),
}


@pytest.mark.parametrize("name", WHERE)
def test_an_error_names_the_file_and_the_entry(run: ModuleRunner, tmp_path: Path, name: str) -> None:
    content, expected = WHERE[name]
    (tmp_path / "a.yml").write_text("experiments: [{name: from a}]\nregistered_models: [{name: first}, {name: other}]\n")
    (tmp_path / "b.yml").write_text("registered_models:\n")
    (tmp_path / name).write_text(content)
    before = export(run)
    for check in (False, True):
        result = run(MODULE, {"src": str(tmp_path)}, check=check, env={"ANSIBLE_VERBOSITY": "3"})
        assert result.get("failed"), result
        assert result["msg"].startswith(f"src: {tmp_path}/")
        assert expected in result["msg"]
        assert "hunter2" not in result["_output"]
    assert export(run) == before


def test_a_list_that_is_given_twice_deletes_nothing(run: ModuleRunner, tmp_path: Path) -> None:
    hook = {"name": "hook", "url": "https://127.0.0.1:9/x", "events": ["registered_model.created"]}
    run.succeed(MODULE, webhooks=[hook])
    source = tmp_path / "declaration.yml"
    source.write_text(f"webhooks: [{json.dumps(hook)}]\nwebhooks: []\n")
    message = run.fail(MODULE, src=str(source), prune=["webhooks"], prune_limit=100)
    assert message.endswith("line 2: 'webhooks' is given twice in one dictionary, and the first would be lost; merge the two, or remove one")
    assert [found["name"] for found in run.succeed("mlflow_webhook_info")["webhooks"]] == ["hook"]


def test_two_runs_at_once_make_one_version_each(run: ModuleRunner) -> None:
    declared = {
        "registered_models": [{"name": f"m{number}"} for number in range(3)],
        "model_versions": [{"name": f"m{number}", "source": f"s3://b/{number}", "aliases": ["champion"]} for number in range(3)],
    }
    run.succeed(MODULE, registered_models=declared["registered_models"])
    results: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: results.append(run(MODULE, {"declaration": declared}))) for _writer in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.get("msg") for result in results] == [None] * 3
    versions = run.succeed("mlflow_model_version_info")["model_versions"]
    assert [(version["name"], version["source"], version["aliases"]) for version in versions] == [
        (f"m{number}", f"s3://b/{number}", ["champion"]) for number in range(3)
    ]
    assert not run.succeed(MODULE, declaration=declared)["changed"]


def test_an_alias_may_name_a_version_of_the_same_run(run: ModuleRunner) -> None:
    declared = {
        "registered_models": [{"name": "m", "aliases": {"champion": 2}}],
        "model_versions": [{"name": "m", "source": "s3://b/1"}, {"name": "m", "source": "s3://b/2"}],
    }
    run.succeed(MODULE, declaration=declared)
    (model,) = run.succeed("mlflow_registered_model_info", name="m")["registered_models"]
    assert model["aliases"] == {"champion": "2"}
    assert not run.succeed(MODULE, declaration=declared)["changed"]


def test_a_kind_is_listed_and_not_read_one_by_one(run: ModuleRunner, server: Server) -> None:
    names = [{"name": f"many {number}", "tags": {"n": number}} for number in range(30)]
    versions = [{"name": entry["name"], "source": "s3://b/1", "aliases": ["champion"]} for entry in names]
    declared = {"experiments": names, "registered_models": names, "model_versions": versions}
    run.succeed(MODULE, declaration=declared)
    with Faults(server.stack.tracking_uri, {}).running() as proxy:
        assert not run(MODULE, {"declaration": declared}, env={"MLFLOW_TRACKING_URI": proxy.uri})["changed"]
    assert proxy.requests == 3, "the models once, for themselves and their versions' aliases"


# With authentication


@pytest.fixture
def guarded(servers: Servers) -> Server:
    """A server with authentication."""
    return servers(Flavour("3.17.2", "sqlite", auth=True))


def test_who_may_do_what_in_one_run(guarded: Server, tmp_path: Path) -> None:
    secrets = ["the password of ann", "the key of a provider", "the secret of a hook"]
    permission = {"resource_type": "experiment", "resource": "secured", "permission": "EDIT"}
    declared: Declaration = {
        "grants": [{"username": "ann", "resource_type": "registered_model", "resource": "secured", "permission": "READ"}],
        "roles": [{"name": "scientists", "permissions": [permission], "users": ["ann"]}],
        "users": [{"username": "ann", "password": secrets[0]}],
        "experiments": [{"name": "secured"}],
        "registered_models": [{"name": "secured"}],
        "gateway_secrets": [{"name": "secured", "provider": "openai", "value": {"api_key": secrets[1]}}],
        "gateway_model_definitions": [{"name": "secured", "secret": "secured", "provider": "openai", "model_name": "gpt-5"}],
        "gateway_endpoints": [{"name": "secured", "models": [{"model_definition": "secured"}]}],
        "webhooks": [{"name": "secured", "url": "http://127.0.0.1:9/", "events": ["prompt.created"], "secret": secrets[2]}],
    }
    source = tmp_path / "declaration.yml"
    source.write_text(yaml.safe_dump(declared))
    results = [guarded.run(MODULE, {"src": str(source)}, check=check) for check in (True, False, True, False)]
    assert [result.get("msg") for result in results] == [None] * 4
    assert [result["counts"]["created"] for result in results] == [9, 9, 0, 0]
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert results[0]["diff"] == results[1]["diff"]
    exported = guarded.run.succeed(MODULE, state="exported")
    assert exported["resources"]["users"] == [{"username": "ann", "is_admin": False}]
    assert exported["resources"]["roles"] == [{"name": "scientists", "permissions": [permission], "users": ["ann"]}]
    assert {"experiment", "registered_model"} >= {grant["resource_type"] for grant in exported["resources"]["grants"]}
    source.write_text(yaml.safe_dump({**declared, "experiments": [{"name": "/" * 300}]}))
    failed = guarded.run(MODULE, {"src": str(source)})
    assert "has 300 characters" in failed["msg"]
    shown = "".join(result["_output"] for result in [*results, exported, failed])
    assert [secret for secret in secrets if secret in shown] == []
    gone = {section: [{**entry, "state": "absent"} for entry in entries] for section, entries in declared.items()}
    source.write_text(yaml.safe_dump(gone))
    assert guarded.run.succeed(MODULE, src=str(source))["counts"]["deleted"] == 9


def test_an_export_says_what_it_cannot_hold(guarded: Server, tmp_path: Path) -> None:
    run = guarded.run
    declared: Declaration = {
        "users": [{"username": "ann", "password": "the password of ann"}],
        "gateway_secrets": [{"name": "exported", "provider": "openai", "value": {"api_key": "the key of a provider"}}],
        "webhooks": [{"name": "exported", "url": "http://127.0.0.1:9/", "events": ["prompt.created"], "secret": "of a hook"}],
        "registered_models": [{"name": "exported"}],
    }
    run.succeed(MODULE, declaration=declared)
    with closing(guarded.client()) as client:
        experiment = client.write("POST", "/api/2.0/mlflow/experiments/create", {"name": "exported"}, idempotent=False)["experiment_id"]
        number = client.write("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": experiment}, idempotent=False)["run"]["info"]["run_id"]
        body = {"name": "exported", "source": f"runs:/{number}/model", "run_id": number}
        client.write("POST", f"{VERSIONS}/create", body, idempotent=False)
        client.write("POST", "/api/2.0/mlflow/experiments/delete", {"experiment_id": experiment})
    target = tmp_path / "server.yml"
    result = run.succeed(MODULE, state="exported", portable=True, dest=str(target))
    missing = {(entry["list"], entry["option"], name) for entry in result["left_out"] for name in entry["names"]}
    assert missing >= {
        ("users", "password", "ann"),
        ("users", "", guarded.stack.tracking_username),
        ("gateway_secrets", "value", "exported"),
        ("webhooks", "secret", "exported"),
        ("experiments", "", "exported"),
        ("model_versions", "", "exported 1"),
    }
    head = target.read_text().partition("---")[0]
    assert "# - gateway_secrets, value: add the value to each ('exported')\n" in head
    assert yaml.safe_load(target.read_text()) == result["resources"]
    ann = {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "the password of ann"}
    message = run.fail(MODULE, env=ann, state="exported")
    assert message.startswith("kinds: these credentials may not list ")
    kinds = yaml.safe_load(message.partition("set kinds: ")[2].partition("]")[0] + "]")
    assert "experiments" in kinds
    assert "roles" not in kinds
    assert run(MODULE, {"state": "exported", "kinds": kinds}, env=ann).get("msg") is None
    gone = {section: [{**entry, "state": "absent"} for entry in entries] for section, entries in declared.items()}
    gone["registered_models"][0]["force"] = True
    run.succeed(MODULE, declaration=gone)


def test_a_user_with_a_password_is_asked_once(guarded: Server) -> None:
    users = [{"username": f"asked {number}", "password": "a password for this test"} for number in range(4)]
    guarded.run.succeed(MODULE, users=users)
    with Faults(guarded.stack.tracking_uri, {}).running() as proxy:
        assert not guarded.run(MODULE, {"users": users}, env={"MLFLOW_TRACKING_URI": proxy.uri})["changed"]
    assert proxy.requests == 1 + len(users)  # the list, and a login each
    guarded.run.succeed(MODULE, users=[{**user, "state": "absent"} for user in users])


def test_the_own_password_changes_last(guarded: Server) -> None:
    admin, old = guarded.stack.tracking_username, guarded.stack.tracking_password
    new = "another password for a while"
    users = [{"username": f"user {number}", "password": "a password for this test"} for number in range(8)]
    declared: Declaration = {"users": [{"username": admin, "password": new}, *users], "experiments": [{"name": "after the users"}]}
    result = guarded.run.succeed(MODULE, **declared)
    assert len(result["actions"]) == 10
    env = {"MLFLOW_TRACKING_PASSWORD": new}
    gone = [{**user, "state": "absent"} for user in users]
    back = guarded.run(MODULE, {"users": [{"username": admin, "password": old}, *gone]}, env=env)
    assert back.get("msg") is None
    assert not guarded.run.succeed(MODULE, users=[{"username": admin, "password": old, "update_password": "on_create"}])["changed"]


# Files


def test_files_folders_and_a_vault(run: ModuleRunner, tmp_path: Path) -> None:
    folder = tmp_path / "mlflow"
    (folder / "models").mkdir(parents=True)
    (folder / "a.yml").write_text("experiments:\n  - name: from a file\n")
    (folder / "models" / "b.json").write_text(json.dumps({"registered_models": [{"name": "from json"}], "experiments": None}))
    (folder / "empty.yaml").write_text("---\n")
    (folder / "README.md").write_text("no declaration")
    result = run.succeed(MODULE, src=str(folder), experiments=[{"name": "inline"}])
    assert result["actions"] == ["create experiment inline", "create experiment from a file", "create registered model from json"]
    (folder / "a.yml").write_text("- a list\n")
    assert "is not a declaration; give a dictionary of lists" in run.fail(MODULE, src=str(folder))
    (folder / "a.yml").write_text("experiments: [\n")
    assert "a.yml cannot be read: " in run.fail(MODULE, src=str(folder))
    password = tmp_path / "password"
    password.write_text("for this test alone")
    (folder / "a.yml").write_text("experiments:\n  - name: from a vault\n")
    vault = [str(ANSIBLE.with_name("ansible-vault")), "encrypt", "--vault-password-file", str(password), str(folder / "a.yml")]
    subprocess.run(vault, check=True, capture_output=True)
    result = run(MODULE, {"src": str(folder)}, env={"ANSIBLE_VAULT_PASSWORD_FILE": str(password)})
    assert result["actions"] == ["create experiment from a vault"]


def test_an_export_is_written_once(run: ModuleRunner, tmp_path: Path) -> None:
    run.succeed(MODULE, experiments=[{"name": "a"}])
    target = tmp_path / "new" / "server.yml"
    predicted = run(MODULE, {"state": "exported", "dest": str(target)}, check=True)
    assert (predicted["changed"], target.exists()) == (True, False)
    real = run(MODULE, {"state": "exported", "dest": str(target)})
    assert (real["changed"], real["diff"]) == (True, predicted["diff"])
    assert target.read_text() == real["yaml"]
    assert not run(MODULE, {"state": "exported", "dest": str(target)})["changed"]
    assert yaml.safe_load(target.read_text())["experiments"] == [{"name": "Default"}, {"name": "a"}]


# Faults


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_middle_of_a_run(run: ModuleRunner, server: Server, fault: str) -> None:
    declared = {
        "registered_models": [{"name": f"m{number}", "tags": {"n": number}} for number in range(6)],
        "model_versions": [{"name": f"m{number}", "source": "s3://b/1", "aliases": ["champion"]} for number in range(6)],
    }
    with Faults(server.stack.tracking_uri, {2: fault, 8: fault, 15: fault}).running() as faults:
        first = run(MODULE, {"declaration": declared, "timeout": 2, "connections": 3}, env={"MLFLOW_TRACKING_URI": faults.uri})
        assert faults.met
    if first.get("failed"):
        assert fault == "500", first["msg"]  # whether such a one was carried out, no one knows
        assert "answered 500 with text/html" in first["msg"]
        assert "of 12 resources are as declared now; fix the cause and run again to apply the rest" in first["msg"]
        assert first["pending"]
        assert len(first["applied"]) + len(first["pending"]) == 12
    second = run.succeed(MODULE, declaration=declared)
    assert second["changed"] == bool(first.get("failed"))
    client = server.client()
    versions = list(client.listed(f"{VERSIONS}/search", "model_versions", max_results=1000))
    assert sorted(version["name"] for version in versions) == [f"m{number}" for number in range(6)]
    client.close()


def test_two_writers_at_once(run: ModuleRunner) -> None:
    results: list[dict[str, Any]] = []

    def write(team: str) -> None:
        entries = [{"name": f"shared {number}", "tags": {team: "1"}} for number in range(20)]
        results.append(run(MODULE, {"experiments": entries, "registered_models": entries}))

    threads = [threading.Thread(target=write, args=(team,)) for team in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.get("msg") for result in results] == [None, None]
    declared = yaml.safe_load(export(run))
    for section in ("experiments", "registered_models"):
        tags = [entry["tags"] for entry in declared[section] if entry["name"].startswith("shared")]
        assert tags == [{"one": "1", "two": "1"}] * 20


# The role and the playbook


def play(stack: Stack, folder: Path, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    inventory = folder / "inventory.yml"
    host = {"ansible_connection": "local", "ansible_python_interpreter": stack.python, "mlflow_resources_src": str(folder / "mlflow.yml")}
    inventory.write_text(yaml.safe_dump({"mlflow": {"hosts": {"localhost": host}}}))
    command = [str(ANSIBLE.with_name("ansible-playbook")), playbook, "-i", str(inventory), *arguments]
    environment = {**os.environ, **stack.environment(), "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)}
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=180, stdin=subprocess.DEVNULL, check=False)


def test_the_role_and_drift(run: ModuleRunner, server: Server, tmp_path: Path) -> None:
    (tmp_path / "mlflow.yml").write_text("experiments:\n  - name: declared\n    tags: {team: risk}\n")
    site = tmp_path / "site.yml"
    site.write_text("- hosts: mlflow\n  gather_facts: false\n  roles: [mlops.mlflow.mlflow_resources]\n")
    drifted = play(server.stack, tmp_path, "mlops.mlflow.drift")
    assert drifted.returncode == 2
    assert "  + declared\n      tags.team: risk\n" in drifted.stdout
    assert "The server differs from the declaration: create experiment declared" in drifted.stdout
    assert "changed=1" in play(server.stack, tmp_path, str(site)).stdout
    same = play(server.stack, tmp_path, "mlops.mlflow.drift")
    assert same.returncode == 0, same.stdout + same.stderr
    assert "The server matches the declaration." in same.stdout
