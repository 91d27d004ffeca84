"""What pods take of a host."""
from __future__ import annotations

from cluster import Cluster


def memory(cluster: Cluster, app: str) -> dict[str, float]:
    """Of the server's pod: anonymous memory now, the most that was used with page cache, in MiB, and how often it was killed."""
    pod = cluster.get("pods", "", "--selector", f"app.kubernetes.io/name={app}", "--field-selector", "status.phase=Running")[0]
    node, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
    status = pod["status"]["containerStatuses"][0]
    group = f"$(find /sys/fs/cgroup/memory -type d -path '*pod{uid}*' -name '{status['containerID'].rpartition('/')[2]}' | head -1)"
    found = cluster.run(f"cd {group} && grep -E '^total_rss ' memory.stat && cat memory.max_usage_in_bytes memory.failcnt", host=node).split()
    return {"rss": int(found[1]) / 2**20, "peak": int(found[2]) / 2**20, "reclaims": int(found[3]), "restarts": status["restartCount"]}
