"""A client logs metrics and artifacts while pods and hosts die: what was acknowledged is there, and the platform comes back by itself."""
from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from cluster import Cluster, CommandError
from ledger import Ledger

pytestmark = pytest.mark.outage
BACK = 300  # seconds for the platform to serve again


def kill(cluster: Cluster, app: str) -> None:
    """End a pod at once, as a crash of its node would."""
    cluster.kubectl("delete", "pod", "--selector", f"app.kubernetes.io/name={app}", "--grace-period", "0", "--force", "--wait=false")


def reboot(cluster: Cluster, host: str = "") -> None:
    """Cut a host's power, the first server's if none is named: no service gets a chance to end in order."""
    ask = "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestampMonotonic"
    boot = cluster.run(ask, host=host)
    with contextlib.suppress(CommandError, TimeoutError, OSError):
        cluster.run("systemctl reboot --force --force", host=host, timeout=20)
    deadline = time.monotonic() + BACK
    while time.monotonic() < deadline:
        try:
            if cluster.run(ask, host=host, timeout=20) != boot:
                return
        except (CommandError, OSError):
            pass
        time.sleep(2)
    raise TimeoutError(f"{host or 'the first server'} did not come back")


def nothing_is_lost(cluster: Cluster, outage: str, happens: Callable[[], object]) -> None:
    """While a client logs five records a second and artifacts, something happens; all is served again by itself."""
    with Ledger(cluster) as ledger:
        ledger.wait_for_more(20, timeout=60)
        happens()
        took = ledger.wait_for_more(50, timeout=BACK)
        artifacts = len(ledger.artifacts)
        deadline = time.monotonic() + BACK
        while len(ledger.artifacts) < artifacts + 2 and time.monotonic() < deadline:
            time.sleep(1)
    print(f"{outage}: {len(ledger.failures)} requests failed; 50 more records within {took:.0f} s; the longest pause was {ledger.pause:.0f} s")
    assert len(ledger.artifacts) >= artifacts + 2, f"no artifact was taken after the outage: {ledger.failures[-1:]}"
    assert ledger.lost() == []


OUTAGES: dict[str, Callable[[Cluster], None]] = {
    "the MLflow pod": lambda cluster: kill(cluster, cluster.variables["mlflow_server_app"]),
    "the PostgreSQL pod": lambda cluster: kill(cluster, cluster.variables["postgresql_name"]),
    "the MinIO pod": lambda cluster: kill(cluster, cluster.variables["artifact_store_app"]),
    "the server host": reboot,
}


@pytest.mark.line("(beyond) nothing acknowledged is lost")
@pytest.mark.parametrize("outage", OUTAGES)
def test_nothing_acknowledged_is_lost(cluster: Cluster, outage: str) -> None:
    """While a client logs five records a second and artifacts, this is killed; all is served again by itself."""
    nothing_is_lost(cluster, outage, lambda: OUTAGES[outage](cluster))
