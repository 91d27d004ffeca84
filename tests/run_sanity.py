"""Run every test of ``ansible-test sanity`` on the built artifact, with downloads only from package registries.

ansible-test requires a git repository at ``.../ansible_collections/NAMESPACE/NAME``, and downloads pip's bootstrap script from
a server of Ansible's. So the artifact gets a repository, and the script is replaced by the pip wheel of the version that
the installed ansible-core asks for. The run has its own home directory, where virtual environments are kept.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ARTIFACT = ROOT / "build" / "artifact" / "ansible_collections" / "mlops" / "mlflow"
COLLECTION = ROOT / "build" / "sanity" / "ansible_collections" / "mlops" / "mlflow"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlops-mlflow"
# What pip is told on this machine; ansible-test hands down neither its variables nor, with another home, its file.
PIP_SETTINGS = ("cert", "extra-index-url", "find-links", "index-url", "proxy", "timeout", "trusted-host")

GET_PIP = '''\
"""Stands in for get-pip.py: the same work, by the wheel of pip beside this file."""
import os
import runpy
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), {wheel!r}))
wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.argv = ["pip", "install", "--upgrade", "--force-reinstall", *wanted]
runpy.run_module("pip.__main__", run_name="__main__", alter_sys=True)
'''


def pip(*words: str) -> str:
    """Return pip's output."""
    return subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True, text=True).stdout


def pip_of_ansible_test() -> str:
    """The version of pip that the installed ansible-test puts into its virtual environments."""
    import ansible_test  # noqa: PLC0415 - comes with ansible-core, and only this function needs it

    source = (Path(ansible_test.__file__).parent / "_internal" / "python_requirements.py").read_text()
    found = re.search(r"default_packages = dict\(\s*pip='([\d.]+)'", source)
    assert found, "this ansible-core names the pip of ansible-test somewhere else; look for get_venv_packages"
    return found[1]


def prepare_home(home: Path) -> None:
    """Give the run its pip: settings of this machine, and the bootstrap script with the wheel that it needs."""
    lines = [line.partition("=") for line in pip("config", "list").splitlines()]
    settings = {name.rpartition(".")[2]: value.strip("'\"") for name, _equals, value in lines}
    settings = {name: value.replace("\\n", "\n  ") for name, value in settings.items() if name in PIP_SETTINGS}
    proxy = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
    settings.update({"cache-dir": pip("cache", "dir").strip(), **({"proxy": proxy} if proxy else {})})
    config = home / ".config" / "pip" / "pip.conf"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))

    wanted = pip_of_ansible_test()
    cache = home / ".ansible" / "test" / "cache"
    wheel = f"pip-{wanted}-py3-none-any.whl"
    if not (cache / wheel).exists():
        pip("download", "--quiet", "--no-deps", "--dest", str(cache), f"pip=={wanted}")
    (cache / f"get_pip_{wanted.replace('.', '_')}.py").write_text(GET_PIP.format(wheel=wheel))


def runs(python: Path) -> bool:
    """Whether there is such an interpreter, and it is not the shell script of pyenv that finds none."""
    return python.exists() and not subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode


def search_path(home: Path) -> str:
    """A PATH whose ``python3.N`` all run: ansible-test tries those of a managed host too, and gives up on one that does not."""
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    links = home / "bin"
    shutil.rmtree(links, ignore_errors=True)
    links.mkdir(parents=True)
    for name in (f"python3.{minor}" for minor in range(8, 16)):
        broken = [folder for folder in folders if (folder / name).exists() and not runs(folder / name)]
        folders = [folder for folder in folders if folder not in broken]
        found = next((python for python in [folder / name for folder in folders] + sorted(pyenv.glob(f"*/bin/{name}")) if runs(python)), None)
        if found:
            (links / name).symlink_to(found)
    return os.pathsep.join(str(folder) for folder in [links, *folders])


def prepare_collection() -> None:
    """Copy the artifact to where ansible-test can list its files."""
    shutil.rmtree(COLLECTION, ignore_errors=True)
    shutil.copytree(ARTIFACT, COLLECTION)
    ignored = sorted((COLLECTION / "tests" / "sanity").glob("ignore*.txt"))
    assert not ignored, f"this collection has nothing to be ignored: {ignored}"
    assert shutil.which("shellcheck"), "shellcheck is not on PATH; run this by `make sanity`"
    subprocess.run(["git", "init", "--quiet"], cwd=COLLECTION, check=True)


def main() -> int:
    """Run, and report what could not be run."""
    home = CACHE / f"ansible-test-{version('ansible-core')}"
    prepare_home(home)
    prepare_collection()
    environment = {**os.environ, "PATH": search_path(home), "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    command = [str(Path(sys.executable).parent / "ansible-test"), "sanity", "--color", "no", *sys.argv[1:]]
    with subprocess.Popen(command, cwd=COLLECTION, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        skipped = []
        for line in run.stdout or ():
            print(line, end="", flush=True)
            if "WARNING: Skipping" in line:
                skipped.append(line.partition("WARNING: ")[2].strip())
    for line in dict.fromkeys(skipped):
        print(f"NOT RUN: {line}")
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
