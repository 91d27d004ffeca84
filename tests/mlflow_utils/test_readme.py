"""The README's programs run as they stand."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from identity_provider import PENDING, IdentityProvider

README = (Path(__file__).resolve().parents[2] / "src/mlflow_utils/README.md").read_text()
PROGRAMS = {
    heading: block
    for section in README.split("\n## ")[1:]
    for heading, block in [(section.partition("\n")[0], "\n".join(re.findall(r"```python\n(.*?)```", section, re.S)))]
}


@pytest.mark.parametrize("heading", ["Client", "Training runs", "Inference services"])
def test_a_program_that_talks_to_a_server(heading: str, tracking_uri: str, tmp_path: Path) -> None:
    run(PROGRAMS[heading], tmp_path, MLFLOW_TRACKING_URI=tracking_uri)


@pytest.mark.parametrize("heading", ["Kubeflow Pipelines", "Argo Workflows"])
def test_a_program_that_writes_a_manifest(heading: str, tmp_path: Path) -> None:
    assert "mlflow-client" in run(PROGRAMS[heading], tmp_path) + "".join(path.read_text() for path in tmp_path.glob("*.yaml"))


#: The programs of one section are tried above; these build on one another.
LATER = [*re.findall(r"```python\n(.*?)```", README.partition("\n## Random forests and MLflow 3.17\n")[2], re.S)]


def test_each_later_program_runs_as_it_stands_and_so_do_the_commands(tracking_uri: str, tmp_path: Path) -> None:
    """In the README's order, each with names of its own alone, as a reader pastes them."""
    assert len(LATER) == 4
    run("".join(f"exec({block!r}, {{'__name__': '__main__'}})\n" for block in LATER), tmp_path, MLFLOW_TRACKING_URI=tracking_uri)
    commands = README.partition("\n## Command line\n")[2].partition("```\n")[2].partition("```")[0]
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "kubectl").write_text("#!/bin/sh\nexec grep -q InferenceService\n")  # there is no cluster to apply it to
    (folder / "kubectl").chmod(0o755)
    path = f"{folder}:{Path(sys.executable).parent}:/usr/bin:/bin"
    variables = {"PATH": path, "HOME": str(tmp_path), "MLFLOW_TRACKING_URI": tracking_uri}
    with IdentityProvider([PENDING, (200, {"access_token": "token", "refresh_token": "refresh", "expires_in": 300})]).running() as issuer:
        for line in commands.replace("https://sso.example.com/realms/mlops", issuer).splitlines():
            done = subprocess.run(["sh", "-c", line], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, (line, done.stdout, done.stderr)


def run(program: str, folder: Path, **environment: str) -> str:
    """What it prints."""
    path = folder / "program.py"
    path.write_text(program)
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder), **environment}
    done = subprocess.run([sys.executable, path], env=variables, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
