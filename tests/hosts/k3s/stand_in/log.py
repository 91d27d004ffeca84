"""Lines for the journal in the manner of k3s."""
from __future__ import annotations

import sys
import time


def log(message: str, level: str = "info") -> None:
    """Write one line: time, level, message."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    quoted = message.replace('"', "'").replace("\n", " ")
    print(f'time="{stamp}" level={level} msg="{quoted}"', file=sys.stderr, flush=True)
