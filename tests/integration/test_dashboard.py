"""The dashboard over a real stack that a real Prometheus scrapes: each panel asks what Grafana would, and what it shows is drawn to a picture."""
from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from backups import API
from drill import free_port
from harness import ROOT, Stack
from metrics import metrics_port
from parts import parts
from test_login import answers, running
from tracking_servers import client_of

from ansible_collections.mlops.mlflow.plugins.module_utils._deployment.server_dashboard import dashboard, expressions

# For the minutes in which a Prometheus is built, and those of which it tells.
pytestmark = pytest.mark.slow
PICTURE = ROOT / "build" / "pictures" / "dashboard.png"
#: Seconds in which the server is used, and between two scrapes.
SHOWN, PAUSE = 90, 2
#: What a server alone has not: a backup.
WITHOUT = {"Age of the last backup"}
DAY = "2026-12-01T00:00:00Z"


def use(stack: Stack, until: float) -> None:
    """Runs that succeed and fail, models, versions and traces, all the time."""
    where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    number = 0
    with closing(client_of(stack)) as client:
        while time.monotonic() < until:
            number += 1
            made = {"experiment_id": "0", "start_time": 1}
            info = client.write("POST", f"{API}/runs/create", made, idempotent=False)["run"]["info"]
            status = ("FINISHED", "FINISHED", "FAILED")[number % 3]
            client.write("POST", f"{API}/runs/update", {"run_id": info["run_id"], "status": status}, idempotent=False)
            if number % 10 == 1:
                model, trace = f"shown-{number}", {"trace_id": f"tr-{number:032x}", "trace_location": where, "request_time": DAY, "state": "OK"}
                client.write("POST", f"{API}/registered-models/create", {"name": model}, idempotent=False)
                version = {"name": model, "source": info["artifact_uri"], "run_id": info["run_id"]}
                client.write("POST", f"{API}/model-versions/create", version, idempotent=False)
                client.write("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": trace}}, idempotent=False)
            time.sleep(0.1)


@pytest.fixture(scope="module")
def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one that has scraped the stack while it was used."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    scraped = [{"job_name": "mlflow", "scrape_interval": f"{PAUSE}s", "static_configs": [{"targets": [f"127.0.0.1:{metrics_port(stack)}"]}]}]
    (folder / "prometheus.json").write_text(json.dumps({"scrape_configs": scraped}))
    program = parts.part("prometheus") / "prometheus"
    options = [f"--config.file={folder / 'prometheus.json'}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    with running(folder, program, *options):
        answers(port)
        use(stack, time.monotonic() + SHOWN)
        yield f"http://127.0.0.1:{port}"


def asked(prometheus: str, target: Mapping[str, Any], expression: str) -> list[tuple[str, list[tuple[float, float]]]]:
    """The legends and points that a target of a panel gets, https://prometheus.io/docs/prometheus/latest/querying/api."""
    now = time.time()
    if target["instant"]:
        path, words = "query", {"query": expression, "time": now}
    else:
        path, words = "query_range", {"query": expression, "start": now - SHOWN, "end": now, "step": PAUSE}
    with urllib.request.urlopen(f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(words)}", timeout=30) as answer:
        told = json.load(answer)["data"]["result"]

    def legend(labels: Mapping[str, str]) -> str:
        return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), str(target["legendFormat"])).strip()

    return [(legend(each["metric"]), [(float(at), float(value)) for at, value in each.get("values") or [each["value"]]]) for each in told]


def test_what_its_panels_show_is_drawn(stack: Stack, prometheus: str, tmp_path: Path) -> None:
    made = dashboard()
    wanted, panels = iter(expressions(made)), []
    for panel in made["panels"]:
        series = [each for target in panel["targets"] for each in asked(prometheus, target, next(wanted))]
        panels.append({**panel, "series": series})
    last = {panel["title"]: {legend: points[-1][1] for legend, points in panel["series"]} for panel in panels}
    assert {title for title, shown in last.items() if not shown} == WITHOUT
    assert [last[title] for title in ("MLflow answers", "Database answers", "Schema is current")] == [{"mlflow": 1}] * 3
    assert last["Failed requests"] == {"5xx": 0}
    assert last["Runs"].keys() >= {"FINISHED", "FAILED"}
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "panels.json").write_text(json.dumps(panels))
    program = str(Path(__file__).with_name("dashboard_picture.py"))
    subprocess.run([stack.python, "-I", program, str(tmp_path / "panels.json"), str(PICTURE)], check=True, cwd=tmp_path)
    assert PICTURE.read_bytes().startswith(b"\x89PNG")
