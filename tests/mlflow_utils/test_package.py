"""The package as it is installed: what it holds, what it imports, what it promises."""
from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from harness import ROOT

import mlflow_utils

PACKAGE = ROOT / "src" / "mlflow_utils"
HEAVY = {"mlflow", "pandas", "pydantic", "pydantic_settings", "requests", "numpy", "kfp", "hera", "typer", "rich", "yaml"}


def imported(program: str) -> set[str]:
    """The top-level modules of a process that has run ``program``."""
    program += "; import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_it_imports_nothing_else() -> None:
    assert imported("import mlflow_utils") & HEAVY == set()
    assert imported("from mlflow_utils import InferenceTracker, load_settings") & {"mlflow", "pandas", "numpy"} == set()
    assert imported("from mlflow_utils import track, connect") & {"mlflow", "pandas", "numpy"} == set()


def test_every_public_name_is_there() -> None:
    assert sorted(mlflow_utils.__all__) == sorted(mlflow_utils._HOMES)
    for name in mlflow_utils.__all__:
        assert getattr(mlflow_utils, name).__module__.startswith("mlflow_utils.")
    assert set(mlflow_utils.__all__) <= set(dir(mlflow_utils))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        mlflow_utils.nothing  # noqa: B018 - the access is the test


@pytest.mark.server
def test_the_wheel_and_the_source_hold_the_package_alone(tmp_path: Path) -> None:
    """Marked as needing a server since it fetches the build backend."""
    subprocess.run([ROOT / ".venv/bin/uv", "build", "--quiet", "--out-dir", tmp_path, ROOT], check=True)
    [wheel], [source] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    there = {f"mlflow_utils/{path.relative_to(PACKAGE)}" for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        notes = {name.rpartition("/")[2] for name in archive.namelist() if ".dist-info/" in name}
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    assert held == there
    assert {"METADATA", "RECORD", "LICENSE"} <= notes
    assert re.search(r"^Name: mlflow-utils$", metadata, re.M)
    assert set(re.findall(r"^Provides-Extra: (.*)$", metadata, re.M)) == {"argo", "cli", "compare", "kfp", "kserve"}
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in names if not name.startswith("src/")} == {"LICENSE", "PKG-INFO", "pyproject.toml", ".gitignore"} & names | {
        "LICENSE", "PKG-INFO", "pyproject.toml"
    }


def test_the_examples_of_the_readme_are_python() -> None:
    examples = re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.S)
    assert examples
    for example in examples:
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlflow_utils"):
                module = __import__(str(node.module), fromlist=["_"])
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
