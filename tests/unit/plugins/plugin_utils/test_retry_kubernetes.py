"""Calls that are repeated while the API server is away."""
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.plugin_utils import _retry_kubernetes

GONE = {"failed": True, "msg": "HTTPSConnection(host='127.0.0.1', port=6443): Connection refused", "exception": "a long trace"}
DONE = {"changed": True}
FORBIDDEN = {"failed": True, "msg": "forbidden"}


@pytest.mark.parametrize(("answers", "check_mode", "calls", "said"), [
    ([DONE], False, 1, ""),
    ([GONE, GONE, DONE], False, 3, ""),
    ([GONE, FORBIDDEN], False, 2, "forbidden"),
    ([GONE] * 20, False, _retry_kubernetes.TRIES, "does not answer: Connection refused; check that the cluster is up"),
    ([GONE] * 20, True, 1, "does not answer"),
])
def test_a_server_that_comes_back_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]], check_mode: bool, calls: int, said: str
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    left = list(answers)
    result = _retry_kubernetes.persistent(lambda: dict(left.pop(0)), "/x", check_mode)
    assert len(answers) - len(left) == calls
    assert slept == [_retry_kubernetes.PAUSE] * (calls - 1)
    assert said in str(result.get("msg", ""))
    assert "trace" not in str(result)
