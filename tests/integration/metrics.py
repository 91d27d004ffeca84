"""Scrapes of a stack's metrics."""
from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from harness import Stack


def metrics_port(stack: Stack) -> int:
    """The port of the metrics of a stack that a test has deployed."""
    return (urlsplit(stack.tracking_uri).port or 0) + 10


def scrape(stack: Stack) -> str:
    """What Prometheus gets, without a password."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port(stack)}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def samples(text: str) -> dict[str, float]:
    """The samples of a scrape, by name and labels, these in order."""
    found = {}
    for name, labels, value in re.findall(r"^(mlflow_\w+)(?:\{(.*)\})? (\S+)$", text, re.M):
        found[f"{name}{{{','.join(sorted(labels.split(',')))}}}" if labels else name] = float(value)
    return found


def scraped_until(stack: Stack, is_there: Callable[[dict[str, float]], bool], seconds: float = 120) -> dict[str, float]:
    """The samples, as soon as something is there. Fails the test if it does not come."""
    deadline = time.monotonic() + seconds
    while True:
        found = samples(scrape(stack))
        if is_there(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(1)
