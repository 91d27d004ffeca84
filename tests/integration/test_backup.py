"""Backups of a real embedded stack: what is lost comes back, and what is not whole is not taken for whole."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from backups import API, MODEL, Backups, kept, lose, made, messages, program, refused, run
from deployment import Deployment, changed
from restic import restic
from tracking_servers import client_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def backups() -> Iterator[Backups]:
    """A stack with an artifact folder."""
    yield from made("backup", 27600, artifact_store_provider=None)


@pytest.fixture(scope="module")
def with_set(backups: Backups) -> Backups:
    """The same, with a set of what is in it."""
    backups.back_up()
    return backups


def test_what_is_lost_comes_back(backups: Backups) -> None:
    stack, before = backups.stack, kept(backups.stack)
    predicted = changed(stack.play("backup", "--check"))
    assert not backups.repository.exists()
    assert not (backups.folder / "password").exists()
    assert predicted == changed(backups.back_up())
    assert len(backups.sets()) == 1
    lose(stack)
    results = backups.restore()
    assert kept(stack) == before
    assert any("1 runs were RUNNING then" in result.message for result in results)
    assert changed(stack.up()) == []


def test_a_second_set_takes_little(with_set: Backups) -> None:
    results = with_set.back_up()
    assert changed(results) == ["mlops.mlflow.mlflow_backup : Make a set"]
    state = json.loads((with_set.stack.home / "backup/state.json").read_text())
    assert state["backup"]["added"] < 1 << 20
    assert not (with_set.stack.home / "backup/set").exists()
    told = [result.message for result in results if result.name.endswith("Show the new set")]
    assert " runs, " in told[0]
    assert "is on the disk of the stack" in told[0]


def test_only_the_sets_that_are_wanted_are_kept(with_set: Backups) -> None:
    with_set.back_up()
    assert len(with_set.sets()) >= 1
    none = {f"mlflow_backup_keep_{period}": 0 for period in ("daily", "weekly", "monthly")}
    with_set.back_up(**none)
    assert len(with_set.sets()) == 1


#: Takes the newest revision from the schema of experiments, as one of an older MLflow lacks it.
AGE = """
import os
from alembic import command
from mlflow.store.db.utils import _get_alembic_config
command.downgrade(_get_alembic_config(os.environ["MLFLOW_BACKEND_STORE_URI"]), "-1")
"""


def age(stack: Deployment) -> None:
    """Have the schema of experiments as an older MLflow has it."""
    there = stack.stack()
    words = {"PGPASSWORD": there.pg_password.strip(), "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://postgres@127.0.0.1:{there.pg_port}/mlflow"}
    command = [str(stack.home / "venv/bin/python"), "-c", AGE]
    done = subprocess.run(command, env={**os.environ, **words}, check=False, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_set_is_made_before_the_schema_moves(with_set: Backups) -> None:
    def revision(of: str) -> str:
        """The tracking schema of a set. That of an earlier one is read at once, since a set takes the place of one of the same day."""
        manifest = json.loads(with_set.restic("dump", of, f"{with_set.stack.home}/backup/set/manifest.json").stdout)
        return str(manifest["databases"][-1]["revision"])

    before, newest = kept(with_set.stack), with_set.sets()[-1]["id"]
    current = revision(newest)
    age(with_set.stack)
    assert "mlops.mlflow.mlflow_backup : Make a set" not in changed(with_set.stack.up(mlflow_server_backup=False))
    assert with_set.sets()[-1]["id"] == newest
    age(with_set.stack)
    done = changed(with_set.stack.up())
    wanted = ("mlflow_backup : Make a set", "mlflow_server : Migrate the schema of the embedded database")
    assert [name for name in done if name.endswith(wanted)] == [f"mlops.mlflow.{name}" for name in wanted]
    assert revision(with_set.sets()[-1]["id"]) != current
    assert kept(with_set.stack) == before
    assert changed(with_set.stack.up()) == []


def test_the_passphrase_and_the_secrets_are_in_no_argument_and_no_output(with_set: Backups) -> None:
    passphrase = (with_set.folder / "password").read_text().strip()
    assert len(passphrase) == 40
    assert (with_set.folder / "password").stat().st_mode & 0o777 == 0o600
    assert (with_set.stack.home / "backup/settings.json").stat().st_mode & 0o777 == 0o600
    held = [passphrase, *((entry.read_text().strip()) for entry in (with_set.stack.home / "secrets").iterdir())]
    seen: list[str] = []
    with program(with_set, "backup") as running:
        while running.poll() is None:
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.append(entry.read_bytes().decode(errors="replace"))
            time.sleep(0.01)
        assert running.stdout
        assert running.stderr
        told = running.stdout.read() + running.stderr.read()
    assert any("restic" in words and "backup" in words for words in seen), "the backup was not seen"
    assert any("pg_dump" in words for words in seen)
    assert [each for each in held if each in told or any(each in words for words in seen)] == []


def test_a_drill_tries_the_set_and_leaves_nothing(with_set: Backups) -> None:
    before = kept(with_set.stack)
    results = with_set.back_up(mlflow_backup_drill=True)
    told = next(result.message for result in results if result.name.endswith("Show what the drill has found"))
    assert " runs, all rows as they were" in told
    assert "those of 1 registered versions read through the server" in told
    assert "RPO " in told
    assert "RTO " in told
    assert list((with_set.stack.home / "backup").glob("drill-*")) == []
    assert not [path for path in Path("/proc").glob("[0-9]*/cwd") if "drill-" in link(path)]
    assert kept(with_set.stack) == before


def link(path: Path) -> str:
    """Where a link leads; empty if it is gone."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def test_a_drill_finds_a_version_without_artifacts(with_set: Backups) -> None:
    file = next(with_set.stack.home.glob("artifacts/*/*/artifacts/model/MLmodel"))
    aside = with_set.stack.home / "MLmodel"
    file.rename(aside)
    try:
        assert run(with_set, "backup")[1] == ""
        assert f"is not what it should be: {MODEL} 1 " in run(with_set, "drill")[1]
        status = with_set.stack.play("status")
        assert "is not whole: kept 1 " in messages(status)[0]
    finally:
        aside.rename(file)
    assert run(with_set, "backup")[1] == ""
    assert run(with_set, "drill")[1] == ""


def test_a_drill_finds_a_key_that_does_not_fit(with_set: Backups) -> None:
    file = with_set.stack.home / "secrets/mlflow_webhook_key"
    right = file.read_text()
    try:
        file.write_text("0123456789abcdef0123456789abcdef")
        assert run(with_set, "backup")[1] == ""
        assert "the secrets of webhooks cannot be read with the key of the set" in run(with_set, "drill")[1]
    finally:
        file.write_text(right)
    assert run(with_set, "backup")[1] == ""
    assert run(with_set, "drill")[1] == ""


def test_status_says_how_the_stack_is_doing(with_set: Backups) -> None:
    with_set.back_up()
    results = with_set.stack.play("status")
    assert messages(results) == []
    assert changed(results) == []
    told = next(result.message for result in results if result.name.endswith("Show how the stack is doing"))
    assert "mlflow: RUNNING for" in told
    assert "postgresql: RUNNING for" in told
    assert "last backup " in told
    with_set.stack.stop()
    try:
        assert "No supervisor answers, so that nothing runs" in messages(with_set.stack.play("status"))[0]
        assert "does not answer" in run(with_set, "backup")[1]
    finally:
        with_set.stack.up()


# What goes wrong


def test_a_wrong_passphrase(with_set: Backups) -> None:
    settings = (with_set.stack.home / "backup/settings.json").read_text()
    results = with_set.stack.play("backup", mlflow_backup_password="another one")
    assert f"the passphrase does not open '{with_set.repository}'" in refused(results)
    assert (with_set.stack.home / "backup/settings.json").read_text() == settings
    lost = with_set.stack.play("restore", mlflow_backup_password="another one")
    assert f"the passphrase does not open '{with_set.repository}'" in refused(lost)
    with_set.back_up()


def test_a_passphrase_that_the_control_node_has_lost_is_the_one_that_the_host_has(with_set: Backups) -> None:
    file = with_set.folder / "password"
    before = file.read_text()
    file.unlink()
    assert "there is no file" in refused(with_set.stack.play("restore"))
    with_set.back_up()
    assert file.read_text() == before


def test_a_repository_that_is_gone(with_set: Backups) -> None:
    aside = with_set.folder / "aside"
    with_set.repository.rename(aside)
    try:
        assert "had backups, and there is no repository now" in run(with_set, "backup")[1]
        assert f"there is no repository in '{with_set.repository}'" in refused(with_set.stack.play("restore"))
        assert "The repository of the backups" in messages(with_set.stack.play("status"))[0]
    finally:
        shutil.rmtree(with_set.repository, ignore_errors=True)
        aside.rename(with_set.repository)
    assert run(with_set, "backup")[1] == ""


@pytest.mark.parametrize("harm", ["gone", "cut", "changed"])
def test_a_damaged_repository(with_set: Backups, harm: str) -> None:
    copy = with_set.folder / "copy"
    shutil.copytree(with_set.repository, copy, copy_function=shutil.copy)
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", with_set.stack.home.owner(), copy], check=True)
    try:
        for pack in sorted((path for path in with_set.repository.glob("data/*/*")), key=lambda path: path.stat().st_size)[-2:]:
            pack.chmod(0o600)
            damage(pack, harm)
        says = run(with_set, "drill")[1]
        assert "is damaged" in says
        assert "use an older set or another copy of the repository" in says
        if harm != "changed":  # a backup does not read everything again
            count = len(with_set.sets())
            assert "is damaged" in run(with_set, "backup")[1]
            assert len(with_set.sets()) == count
    finally:
        shutil.rmtree(with_set.repository)
        copy.rename(with_set.repository)
        shutil.rmtree(with_set.stack.home / "backup/cache", ignore_errors=True)
    assert run(with_set, "backup")[1] == ""
    assert run(with_set, "drill")[1] == ""


def damage(pack: Path, harm: str) -> None:
    """Harm a file as disks do."""
    content = pack.read_bytes()
    if harm == "gone":
        pack.unlink()
    elif harm == "cut":
        pack.write_bytes(content[: len(content) // 2])
    else:
        pack.write_bytes(bytes(byte ^ 1 for byte in content[:-64]) + content[-64:])


def test_a_set_of_a_newer_release_and_one_of_a_newer_mlflow(with_set: Backups) -> None:
    newest = with_set.sets()[-1]
    staging = next(path for path in newest["paths"] if path.endswith("/backup/set"))
    manifest = json.loads(with_set.restic("dump", newest["id"], f"{staging}/manifest.json").stdout)
    altered = with_set.folder / "backup/set"
    altered.mkdir(parents=True)
    (altered / "manifest.json").write_text(json.dumps({**manifest, "format": 2}))
    with_set.restic("backup", "--tag", "mlops-mlflow-set", str(altered))
    later = with_set.sets()[-1]["id"]
    try:
        assert "has format 2, and this release of the collection reads up to 1" in refused(with_set.stack.play("restore"))
    finally:
        with_set.restic("forget", later)
    older = with_set.stack.play("restore", embedded_mlflow_version="3.16.1")
    assert "embedded_mlflow_version: 3.16.1 is older than 3.17.2" in refused(older)
    assert "there is no set 'ffff'" in refused(with_set.stack.play("restore", mlflow_backup_set="ffff"))


def test_there_is_no_backup_yet(with_set: Backups) -> None:
    empty = with_set.folder / "empty"
    environment = {**os.environ, "RESTIC_PASSWORD_FILE": str(with_set.folder / "password")}
    subprocess.run([str(restic()), "--repo", str(empty), "init"], env=environment, check=True, capture_output=True)
    assert "there is no backup yet; make one first" in refused(with_set.stack.play("restore", mlflow_backup_repository=str(empty)))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a disk")
def test_a_full_disk(with_set: Backups) -> None:
    small = with_set.folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", small], check=True)
    try:
        large = with_set.stack.home / "artifacts/large"
        large.write_bytes(os.urandom(1 << 20))
        results = with_set.stack.play("backup", mlflow_backup_repository=str(small))
        assert "a disk is full" in messages(results)[0]
        assert "No space left on device" not in messages(results)[0].replace("no space left on device", "")
    finally:
        subprocess.run(["umount", small], check=True)
        large.unlink()
    with_set.back_up()


def test_a_stack_with_data_is_not_overwritten_but_moved_aside_when_told_twice(with_set: Backups) -> None:
    stack, before = with_set.stack, kept(with_set.stack)
    with_set.back_up()
    with closing(client_of(stack.stack())) as client:
        client.write("POST", f"{API}/experiments/create", {"name": "newer"}, idempotent=False)
        client.write("POST", f"{API}/runs/create", {"experiment_id": "0", "start_time": int(time.time() * 1000) + 5000}, idempotent=False)
    assert "holds data already" in refused(stack.play("restore"))
    told_once = stack.play("restore", mlflow_backup_replace=True, mlflow_backup_replace_confirmed="no")
    assert "Nothing is restored: the answer was 'no', not 'yes'" in refused(told_once)
    results = with_set.restore(mlflow_backup_replace=True, mlflow_backup_replace_confirmed="yes")
    assert any("newer than the set: 1 runs, 0 versions of models" in result.message for result in results)
    assert kept(stack) == before
    with closing(client_of(stack.stack())) as client:
        assert "newer" not in [each["name"] for each in client.listed(f"{API}/experiments/search", "experiments", "POST", max_results=100)]
    aside = list(stack.home.parent.glob(f"{stack.home.name}-before-*"))
    assert len(aside) == 1
    assert (aside[0] / "postgresql/data/PG_VERSION").exists()
    assert changed(stack.up()) == []


def test_a_stack_that_was_removed_comes_back_elsewhere(with_set: Backups) -> None:
    before = kept(with_set.stack)
    with_set.back_up()
    with_set.stack.remove()
    assert not with_set.stack.home.exists()
    with_set.restore()
    assert kept(with_set.stack) == before


def test_artifacts_in_s3_are_lost_and_come_back() -> None:
    for backups in made("backup-s3", 27620, artifact_store_provider="embedded"):
        stack, before = backups.stack, kept(backups.stack)
        backups.back_up(mlflow_backup_drill=True)
        backups.back_up()
        assert json.loads((stack.home / "backup/state.json").read_text())["backup"]["added"] < 1 << 20
        lose(stack)
        backups.restore()
        assert kept(stack) == before
        assert changed(stack.up()) == []
