"""Images of single stories on the test hosts, which have no registry for them."""
from __future__ import annotations

import subprocess
from pathlib import Path

from cluster import Cluster
from images import images

#: How long one host may take for one image, in seconds; that of Airflow has 800 MB.
PATIENCE = 900


def bring(cluster: Cluster, *names: str) -> list[str]:
    """Make the images of these names, where they are not there yet, and import them on every host; what they are called there."""
    for name in names:
        import_archive(cluster, images.scenario_archive(name))
    return [images.ON_DEMAND[name].names[0] for name in names]


def import_archive(cluster: Cluster, path: Path) -> None:
    """Import an archive of images on every host."""
    into = "cat > /var/tmp/image.tar && k3s ctr --namespace k8s.io images import /var/tmp/image.tar && rm /var/tmp/image.tar"
    for host in [*cluster.servers, *cluster.agents]:
        with path.open("rb") as archive:
            subprocess.run([*cluster.ssh(host), into], stdin=archive, check=True, capture_output=True, timeout=PATIENCE)
