"""Each extra installed as a user does, with the newest that its bounds allow. MLFLOW_TEST_WHEEL names the wheel; .ci/utils-extras makes one."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from harness import ROOT
from test_model_registry import PARSE
from test_readme import PROGRAMS

from mlflow_utils._kserve import KServeMetadata, manifest

WHEEL = os.environ["MLFLOW_TEST_WHEEL"]

EVERY_NAME = """
import mlflow_utils
print(*[getattr(mlflow_utils, name) for name in mlflow_utils.__all__])
"""
COMPARE = """
from mlflow_utils.experiment_comparison import Comparison
rows = [{"run_id": str(run), "run_name": f"run-{run}", "metrics.f1": run / 4, "metrics.ms": 9 - run, "params.depth": str(run)} for run in range(4)]
print(Comparison.of_rows(rows).to_html(objectives={"f1": "max", "ms": "min"}))
"""
CLI = """
from mlflow_utils.cli import main
main(["--help"])
"""
KSERVE = manifest(KServeMetadata(limits={"memory": "1Gi"}), storage_uri="s3://warehouse/model", name="risk", namespace="serving")
#: By extra: a program, what it reads, and what it prints or writes.
CASES = {
    "": (EVERY_NAME, "", "mlflow_utils.tracker.Run"),
    "argo": (PROGRAMS["Argo Workflows"], "", "mlflow-client"),
    "cli": (CLI, "", "promote"),
    "compare": (COMPARE, "", "run-3"),
    "kfp": (PROGRAMS["Kubeflow Pipelines"], "", "mlflow-client"),
    "kserve": (PARSE, yaml.safe_dump(KSERVE), "s3://warehouse/model"),
}


def test_every_extra_has_a_program() -> None:
    assert {*(metadata.metadata("mlflow-utils").get_all("Provides-Extra") or []), ""} == CASES.keys()


@pytest.mark.parametrize("extra", CASES)
def test_the_newest_that_an_extra_allows_works(extra: str, tmp_path: Path) -> None:
    home, uv = tmp_path / "environment", str(ROOT / ".venv" / "bin" / "uv")
    subprocess.run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, home], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", home, f"{WHEEL}[{extra}]"], check=True)
    text, given, wanted = CASES[extra]
    program = tmp_path / "program.py"
    program.write_text(text)
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "COLUMNS": "200"}
    done = subprocess.run(
        [home / "bin" / "python", program], input=given, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert wanted in done.stdout + "".join(path.read_text() for path in tmp_path.glob("*.yaml"))
    freeze = subprocess.run([uv, "pip", "freeze", "--python", home], check=True, capture_output=True, text=True).stdout
    print(extra or "no extra", *re.findall(r"(?:hera|kfp|kserve|kubernetes|pandas|rich|typer|mlflow-skinny)==\S+", freeze))
