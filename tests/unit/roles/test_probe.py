"""The program that uses a volume as MLflow does: what it does, what it leaves, and what it says of each step that fails."""
from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment import nfs_check
from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.artifact_store import ArtifactStore
from roles import ROLES

SPEC = importlib.util.spec_from_file_location("probe", ROLES / "artifact_store" / "files" / "probe.py")
assert SPEC is not None
assert SPEC.loader is not None
probe: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(probe)


def test_the_probe_leaves_nothing_behind_and_tells_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(probe, "TERMINATION_LOG", str(tmp_path / "none" / "log"))
    folder = tmp_path / "artifacts"
    folder.mkdir()
    assert probe.main(str(folder)) == 0
    assert list(folder.iterdir()) == []
    (folder / "1").mkdir()
    assert probe.main(str(folder)) == 0
    assert capsys.readouterr().out.splitlines() == ['{"empty": true}', '{"empty": false}']
    assert [each.name for each in folder.iterdir()] == ["1"]


@pytest.mark.parametrize(("call", "step"), [
    ("listdir", "list"), ("open", "create"), ("write", "write"), ("fsync", "sync"), ("close", "close"), ("rename", "rename"), ("unlink", "delete"),
])
def test_the_probe_says_which_step_failed(call: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_args: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(probe.os, call, failing)
    with pytest.raises(probe.Failed) as failed:
        probe.probe(str(tmp_path))
    assert (failed.value.step, failed.value.error) == (step, "ENOSPC")


def test_the_probe_reports_whose_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    monkeypatch.setattr(probe, "TERMINATION_LOG", str(log))
    assert probe.main(str(tmp_path / "missing")) == 1
    found = json.loads(log.read_text())
    assert (found["step"], found["error"]) == ("list", "ENOENT")
    assert found.keys() == {"step", "error", "message", "user", "groups"}
    (tmp_path / "file").write_text("")
    assert probe.main(str(tmp_path / "file")) == 1
    found = json.loads(log.read_text())
    assert (found["error"], found["owner"], found["read_only"]) == ("ENOTDIR", (tmp_path / "file").stat().st_uid, False)


def test_what_the_probe_reports_is_what_the_diagnosis_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, folder = tmp_path / "log", tmp_path / "artifacts"
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(probe, "TERMINATION_LOG", str(log))
    monkeypatch.setattr(probe.os, "geteuid", lambda: 10001)
    monkeypatch.setattr(probe.os, "getegid", lambda: 10001)
    monkeypatch.setattr(probe.os, "getgroups", lambda: [10001])
    monkeypatch.setattr(probe.os, "open", _refused)
    assert probe.main(str(folder)) == 1
    ended = {"state": {"terminated": {"message": log.read_text()}}}
    pod = {"metadata": {"name": "check-1"}, "status": {"phase": "Failed", "containerStatuses": [ended]}}
    found = nfs_check.diagnosis(ArtifactStore(nfs_server="nas", nfs_path="/x"), [pod], [], "")
    whose = f"{folder.stat().st_uid}:{folder.stat().st_gid}"
    assert found.startswith(
        f"artifact_store_nfs_path: 'nas:/x': MLflow's user 10001 cannot create a file in it (EACCES), because it belongs to {whose} with mode 755, "
    )


def _refused(*_args: Any) -> None:
    raise PermissionError(13, "Permission denied")
