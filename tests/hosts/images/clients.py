"""The trees of clients of MLflow: programs from PyPI in Debian's Python, with the versions that a group of pyproject.toml pins."""
from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import tomllib
from command import run
from images import trees

ROOT = Path(__file__).parents[3]
#: The DAGs of the akko text, as tests/mlflow_utils runs them too.
DAGS = sorted((ROOT / "tests/mlflow_utils/akko/examples/dags").glob("*.py"))
#: What every pod of Airflow knows; the rest is the deployment's.
AIRFLOW = {
    "AIRFLOW_HOME": "/tmp/airflow", "AIRFLOW__CORE__DAGS_FOLDER": "/opt/airflow/dags", "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://airflow:8080/execution/", "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
}  # fmt: skip


def content(name: str) -> tuple[str, ...]:
    """All that the image of a client depends on."""
    sources = {"airflow": DAGS, "jupyterhub": sorted((ROOT / "src").rglob("*.py"))}
    return (*packages(f"image-{name}"), *(path.read_text() for path in sources[name]))


def packages(group: str) -> tuple[str, ...]:
    """The requirements of a dependency group, with those of the groups that it includes."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    found: list[str] = []
    for each in groups[group]:
        found += [each] if isinstance(each, str) else packages(each["include-group"])
    return tuple(found)


def jupyterhub(tree: Path) -> None:
    """The hub with its proxy, and what a user's server is, with the checkout's mlflow-utils."""
    _fill(tree, "image-jupyterhub", "node-configurable-http-proxy")
    mlflow_utils(next((tree / "usr/local/lib").glob("python3*")) / "site-packages")


def mlflow_utils(folder: Path) -> None:
    """Unpack the wheel of the checkout's mlflow-utils."""
    with tempfile.TemporaryDirectory() as name:
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", name, ROOT)
        with zipfile.ZipFile(next(Path(name).glob("*.whl"))) as archive:
            archive.extractall(folder)


def airflow(tree: Path) -> None:
    """Airflow and the text's DAGs, as images of tasks have them."""
    _fill(tree, "image-airflow")
    folder = tree / "opt" / "airflow" / "dags"
    folder.mkdir(parents=True)
    for path in DAGS:
        shutil.copy(path, folder)


def _fill(tree: Path, group: str, *debian: str) -> None:
    """Python in /usr/local with the group's packages, and Debian's packages beside it. Its user is 10001, as that of MLflow's image."""
    # uv asks for /proc, and takes a third of pip's time. The mount ends with its command.
    uv = 'mount -t proc proc /proc && exec uv pip install --quiet --no-cache --python /usr/local/bin/python3 "$@"'
    commands = [
        ["python3", "-m", "venv", "/usr/local"],
        ["/usr/local/bin/pip", "install", "--quiet", "--disable-pip-version-check", "uv"],
        ["env", "PATH=/usr/local/bin:/usr/bin:/bin", "UV_SYSTEM_CERTS=1", "sh", "-c", uv, "uv", *packages(group)],
        ["/usr/local/bin/pip", "uninstall", "--quiet", "--yes", "uv"],
        ["useradd", "--uid", "10001", "--gid", "0", "--home-dir", "/tmp", "--no-create-home", "client"],
    ]
    trees._install(tree, ["python3-venv", *debian], after=commands)
    for needless in [*(tree / "usr" / "local").rglob("tests"), *(tree / "usr" / "local").rglob("__pycache__")]:
        shutil.rmtree(needless, ignore_errors=True)
