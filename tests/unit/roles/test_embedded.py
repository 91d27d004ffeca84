"""What the embedded stack says of a folder whose keys and data do not belong together, without a stack."""
from __future__ import annotations

import getpass
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jinja2
import pytest

from roles import Role

ROLES = Path(__file__).resolve().parents[3] / "roles"
KEYS = [
    "artifact_store_admin_secret_key",
    "artifact_store_secret_key",
    "artifact_store_signing_key",
    "mlflow_admin_password",
    "mlflow_crypto_passphrase",
    "mlflow_flask_secret_key",
    "mlflow_webhook_key",
    "postgresql_admin_password",
    "postgresql_password",
]


def load(path: str) -> ModuleType:
    """A file of a role, as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROLES / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


stack = load("embedded/files/stack.py")


def put(path: Path, text: str) -> None:
    """Write a file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A stack that has run."""
    for key in KEYS:
        put(tmp_path / "secrets" / key, f"{key}-value")
    put(tmp_path / "postgresql/data/PG_VERSION", "18")
    put(tmp_path / "artifact-store/data/mlflow_1.dat", "artifacts")
    put(tmp_path / "services/postgresql.conf", "")
    put(tmp_path / "services/artifact-store.conf", "")
    used = "".join(f"# {key}: {hashlib.sha256(f'{key}-value{key}'.encode()).hexdigest()}\n" for key in KEYS if key.startswith("mlflow_"))
    put(tmp_path / "mlflow/server.env", f"# Written by a role\n{used}MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://mlflow@127.0.0.1:1/mlflow\n")
    key = hashlib.sha256(b"artifact_store_signing_key-values3.sse").hexdigest()
    put(tmp_path / "artifact-store/security.toml", f'[jwt.signing]\nkey = "other"\n\n[s3.sse]\nkey = "{key}"\n')
    return tmp_path


@pytest.mark.parametrize(("noted", "is_being_restored"), [('{"set": "a1"}', True), ('{"set": "a1", "lines": ["restored"]}', False)])
def test_a_restore_is_under_way_until_its_data_are_there(home: Path, noted: str, is_being_restored: bool) -> None:
    put(home / "backup/restoring.json", noted)
    assert stack.look(home).is_being_restored == is_being_restored


@pytest.mark.parametrize(("noted", "is_being_rotated"), [('{"values": {"a": "b"}}', True), ('{"rotates": ["kek"]}', False)])
def test_a_rotation_is_under_way_until_the_new_values_are_in_their_files(home: Path, noted: str, is_being_rotated: bool) -> None:
    put(home / "rotation.json", noted)
    assert stack.look(home).is_being_rotated == is_being_rotated


def test_a_whole_stack_has_nothing_wrong_with_it(home: Path) -> None:
    found = stack.look(home)
    assert (found.problems, found.losses) == ([], [])
    assert found.has_run
    assert not found.is_being_restored
    assert not found.is_being_rotated
    there = stack.look(home / "not there yet")
    assert there == stack.Found(disk=there.disk, free=there.free, unit=there.unit)


@pytest.mark.parametrize(
    ("facts", "home"),
    [
        ({}, ""),
        ({"user_uid": 0, "user_dir": "/home/admin"}, "/var/lib/mlops-mlflow"),
        ({"user_uid": 1000, "user_dir": "/home/a"}, "/home/a/.local/share/mlops-mlflow"),
    ],
)
def test_the_folder_is_the_users_as_soon_as_he_is_known(facts: dict[str, object], home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument spec is checked before."""
    monkeypatch.delenv("EMBEDDED_HOME", raising=False)
    assert Role("embedded", ansible_facts=facts).said("embedded_home") == home
    monkeypatch.setenv("EMBEDDED_HOME", "/given")
    assert Role("embedded", ansible_facts=facts).said("embedded_home") == "/given"


def test_where_the_artifacts_are_is_known(home: Path) -> None:
    assert stack.look(home).has_s3
    shutil.rmtree(home / "artifact-store/data")
    assert stack.look(home).has_s3
    (home / "services/artifact-store.conf").unlink()
    assert not stack.look(home).has_s3


def test_what_wrote_the_data_is_known(home: Path) -> None:
    put(home / "mlflow/server.env", "# Written by a role\n# MLflow 3.16.1\n")
    found = stack.look(home)
    assert (found.postgresql_version, found.mlflow_version) == ("18", "3.16.1")
    empty = stack.look(home / "not there yet")
    assert (empty.postgresql_version, empty.mlflow_version) == ("", "")


def test_the_disk_is_known_before_the_folder_is_there(home: Path) -> None:
    told = os.statvfs(home)
    disk, free, unwritable = stack.look_at_disk(home / "not/there/yet")
    assert Path(disk).is_mount()
    assert home.is_relative_to(disk)
    assert abs(free - told.f_bavail * told.f_frsize / 1024**2) < 1024
    assert unwritable == ""
    put(home / "file", "")
    assert stack.look_at_disk(home / "file/below")[2] == str(home / "file")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/s/venv/bin/python -m pip install --quiet", True),
        ("sh -c #!/bin/sh environment.sh install /s/venv /s/venv/.holds-1 python3", True),
        ("python3.11 -m venv --clear /s/venv", True),
        ("/s/venv/bin/python /s/mlflow/serve.py", False),
        ("/s/venv/bin/python /s/backup/program/restore.py data", True),
        ("/s/venv/bin/python /s/backup/program/backup.py /s/backup/settings.json", False),
        ("/t/venv/bin/python -m pip install", False),
        ("ls /s/venv", False),
    ],
)
def test_what_puts_packages_into_the_environment_is_known(command: str, expected: bool) -> None:
    assert stack.Process(2, 1, tuple(command.split(" ")), "/", False).is_installer(Path("/s")) is expected


@pytest.mark.parametrize("key", KEYS)
def test_each_key_that_is_missing_or_empty_is_named(home: Path, key: str) -> None:
    path = home / "secrets" / key
    path.write_text("\n")
    assert [str(path) in problem and "is empty" in problem for problem in stack.look(home).problems] == [True]
    path.unlink()
    losses = stack.look(home).losses
    assert len(losses) == 1
    assert losses[0].startswith(f"{path} is missing, and ")
    assert "mode 0600" in losses[0]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_encrypts_is_not_exchanged_and_a_password_is(home: Path, key: str) -> None:
    (home / "secrets" / key).write_text("another one")
    encrypts = key in ("mlflow_webhook_key", "mlflow_crypto_passphrase", "artifact_store_signing_key")
    assert [loss.partition(" is not what ")[0] for loss in stack.look(home).losses] == ([str(home / "secrets" / key)] if encrypts else [])


def test_a_stack_from_before_has_no_checksums_to_compare(home: Path) -> None:
    (home / "mlflow/server.env").write_text("MLFLOW_CRYPTO_KEK_PASSPHRASE=x\n")
    (home / "secrets/mlflow_webhook_key").write_text("another one")
    assert stack.look(home).losses == []


def test_an_empty_file_that_nothing_depends_on_may_be_removed(tmp_path: Path) -> None:
    put(tmp_path / "secrets/postgresql_password", "")
    put(tmp_path / "secrets/postgresql_password.swp", "")
    problems = stack.look(tmp_path).problems
    assert len(problems) == 1
    assert "or remove it, and a new one is made" in problems[0]


def test_a_file_of_two_lines_is_not_guessed_at(home: Path) -> None:
    (home / "secrets/postgresql_password").write_text("one\ntwo\n")
    assert "holds 2 lines" in stack.look(home).problems[0]


@pytest.mark.parametrize("folder", ["postgresql/data", "artifact-store/data"])
def test_data_that_are_gone_are_a_loss(home: Path, folder: str) -> None:
    for path in (home / folder).iterdir():
        path.unlink()
    losses = stack.look(home).losses
    assert len(losses) == 1
    assert losses[0].startswith(str(home / folder))
    assert "put the folder back from a backup" in losses[0]


@pytest.mark.parametrize("missing", ["mlflow/server.env", "services/artifact-store.conf"])
def test_a_first_run_that_was_interrupted_goes_on(home: Path, missing: str) -> None:
    (home / missing).unlink()
    (home / "artifact-store/data/mlflow_1.dat").unlink()
    assert stack.look(home).losses == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
@pytest.mark.parametrize("is_root", [True, False], ids=["root", "user"])
def test_systemd_takes_the_unit(tmp_path: Path, is_root: bool) -> None:
    home = tmp_path / "100%mine"
    put(home / "venv/bin/supervisord", "#!/bin/sh\n")
    (home / "venv/bin/supervisord").chmod(0o755)
    names: dict[str, object] = {"embedded_home": str(home), "embedded_user": "nobody", "__embedded_bin": str(home / "venv/bin")}
    names.update(__embedded_is_root=is_root, __embedded_target="multi-user.target" if is_root else "default.target")
    unit = tmp_path / "mlops-mlflow.service"
    template = (ROLES / "embedded/templates/unit.service.j2").read_text()
    unit.write_text(jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined).from_string(template).render(names))
    command = ["systemd-analyze", *([] if is_root else ["--user"]), "verify", str(unit)]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "warning"}

    def verify() -> tuple[int, str]:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout

    assert verify() == (0, "")
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMode=mixd"))
    assert "kill mode" in verify()[1]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_systemd_takes_a_timer_and_what_it_starts(tmp_path: Path) -> None:
    home = tmp_path / "100%mine"
    put(home / "venv/bin/python", "#!/bin/sh\n")
    (home / "venv/bin/python").chmod(0o755)
    timer = {"name": "archive", "schedule": "*-*-* 03:00:00", "title": "Archive of traces", "arguments": [f"{home}/archive_run.py", "x"]}
    given = {"embedded_home": str(home), "embedded_user": getpass.getuser(), "ansible_facts": {"user_uid": 0}}
    found = {"found": {"unit": "/u/mlops-mlflow-s.service"}}
    role = Role("embedded", **given, __embedded=found, **{f"embedded_timer_{name}": value for name, value in timer.items()})
    assert role.said("__embedded_timer_link") == "/u/timers.target.wants/mlops-mlflow-s-archive.timer"
    units = [tmp_path / f"mlops-mlflow-s-archive.{kind}" for kind in ("service", "timer")]
    for unit in units:
        unit.write_text(role.said(f"lookup('ansible.builtin.template', 'timer{unit.suffix}.j2')"))
    assert f"ExecStart={str(home).replace('%', '%%')}/venv/bin/python {str(home).replace('%', '%%')}/archive_run.py x\n" in units[0].read_text()
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
