"""The built artifact installs elsewhere and works there."""
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SPECS = {
    path.parents[1].name: yaml.safe_load(path.read_text())["argument_specs"] for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml"))
}
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))


@pytest.fixture(scope="session")
def artifact() -> Path:
    found = list((ROOT / "build" / "artifact").glob("*.tar.gz"))
    assert len(found) == 1, "one artifact is made by `make build`"
    return found[0]


class Elsewhere:
    """A place outside the checkout with the collection installed, as a user has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, tool: str, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MLFLOW_", "PYTHON"))}
        environment.update({"ANSIBLE_COLLECTIONS_PATH": str(self.folder), "ANSIBLE_HOME": str(self.folder / "home"), "ANSIBLE_NOCOLOR": "1"})
        environment.update({"ANSIBLE_REMOTE_TMP": str(self.folder / "tmp")})
        return subprocess.run([BIN / tool, *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=120)

    def read(self, tool: str, *words: str) -> Any:
        done = self.run(tool, *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def elsewhere(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    place = Elsewhere(tmp_path_factory.mktemp("elsewhere"))
    done = place.run("ansible-galaxy", "collection", "install", "--offline", "-p", str(place.folder), str(artifact))
    assert done.returncode == 0, done.stderr
    return place


def test_it_holds_the_tree_and_nothing_else(artifact: Path) -> None:
    with tarfile.open(artifact) as archive:
        held = {member.name for member in archive if member.isfile()}
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    tree = set(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"))
    assert held - tree == {"FILES.json", "MANIFEST.json"}
    assert [name for name in sorted(held) if any(part.startswith(".") for part in Path(name).parts)] == []
    assert {"CHANGELOG.md", "LICENSE", "README.md", "meta/runtime.yml", "playbooks/site.yml"} <= held
    assert {name for name in tree if name.startswith(("plugins/", "roles/", "playbooks/"))} <= held
    assert held.isdisjoint({"Makefile", "ansible.cfg", "pyproject.toml", "site.yml"})


def test_its_modules_are_found(elsewhere: Elsewhere) -> None:
    assert sorted(elsewhere.read("ansible-doc", "--list", "--json", "mlops.mlflow")) == [f"mlops.mlflow.{module}" for module in MODULES]


@pytest.mark.parametrize("module", MODULES)
def test_its_examples_use_options_that_exist(elsewhere: Elsewhere, module: str) -> None:
    name = f"mlops.mlflow.{module}"
    entry = elsewhere.read("ansible-doc", "--json", name)[name]
    options = entry["doc"]["options"]
    used = {option for task in yaml.safe_load(entry["examples"]) for option in task.get(name) or {}}
    assert used or not options
    assert used <= options.keys()
    group = entry["doc"]["attributes"].get("action_group", {}).get("membership")
    assert group == (["mlops.mlflow.mlflow"] if module.startswith("mlflow_") else None)


def test_a_module_says_in_one_line_that_no_server_answers(elsewhere: Elsewhere) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
        arguments = json.dumps({"tracking_uri": uri, "name": "iris", "retries": 0})
        done = elsewhere.run("ansible", "localhost", "-m", "mlops.mlflow.mlflow_registered_model", "-a", arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    message = json.loads(done.stdout.partition("=> ")[2])["msg"]
    assert message.startswith(f"GET {uri}/api/2.0/mlflow/registered-models/get got no answer in 1 tries: Connection refused; check tracking_uri")
    assert "\n" not in message


def test_its_playbook_is_found_by_name(elsewhere: Elsewhere) -> None:
    done = elsewhere.run("ansible-playbook", "--syntax-check", "-i", "localhost,", "mlops.mlflow.site")
    assert done.returncode == 0, done.stderr
    assert str(elsewhere.folder / "ansible_collections" / "mlops" / "mlflow" / "playbooks" / "site.yml") in done.stdout


# The examples of roles, which their READMEs, ansible-doc and the documentation site show.


def variables(value: Any) -> set[str]:
    """The names in all ``vars`` of a playbook."""
    if isinstance(value, list):
        return {name for entry in value for name in variables(entry)}
    if isinstance(value, dict):
        return {name for entry in value.values() for name in variables(entry)} | set(value.get("vars", {}))
    return set()


@pytest.mark.parametrize("role", SPECS)
def test_the_example_of_a_role_uses_variables_that_exist(role: str) -> None:
    example = SPECS[role]["main"]["examples"]
    documented = {name for entries in SPECS.values() for entry in entries.values() for name in entry.get("options") or {}}
    used = variables(yaml.safe_load(example))
    assert used <= documented
    assert any(name.startswith(f"{role}_") for name in used) or f"mlops.mlflow.{role}" in example


def test_the_examples_of_roles_are_playbooks(elsewhere: Elsewhere) -> None:
    playbook = elsewhere.folder / "examples.yml"
    playbook.write_text("".join(entries["main"]["examples"] for entries in SPECS.values()))
    done = elsewhere.run("ansible-playbook", "--syntax-check", "-i", "localhost,", str(playbook))
    assert done.returncode == 0, done.stderr
