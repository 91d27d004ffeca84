# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Where the MLflow image is already: in the registry, and on which hosts. No I/O."""
from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Given = Mapping[str, Any]


def digest(answers: Iterable[Mapping[str, Any]], wanted: str, label: str) -> str:
    """Return the digest of the first image that has the wanted content, "" if none has, from what skopeo said of each.

    The content is that of the label or, where there is none, as for a given archive, that of the manifest.

    >>> image = {"Digest": "sha256:0123456789abcdef01", "Labels": {"inputs": "aa"}}
    >>> answers = [{"rc": 1}, {"rc": 0, "stdout": json.dumps(image)}]
    >>> [digest(answers, *each) for each in (("aa", "inputs"), ("bb", "inputs"), ("0123456789abcdef", ""))]
    ['sha256:0123456789abcdef01', '', 'sha256:0123456789abcdef01']
    """
    images = [json.loads(answer["stdout"]) for answer in answers if answer.get("rc", 1) == 0]
    contents = [(image["Digest"], (image.get("Labels") or {}).get(label, "") if label else image["Digest"][7:23]) for image in images]
    return next((found for found, content in contents if content == wanted), "")


def lacking(listed: Iterable[Mapping[str, Any]], name: str) -> list[str]:
    r"""Return the hosts that lack the image, from what containerd listed on each.

    >>> listed = [{"item": "a", "stdout": "REF TYPE\nlocalhost/mlflow:1-aa x\n"}, {"item": "b", "stdout": "localhost/mlflow:1 x\n"}, {"item": "c"}]
    >>> lacking(listed, "localhost/mlflow:1-aa")
    ['b', 'c']
    """
    return [each["item"] for each in listed if name not in re.findall(r"(?m)^(\S+)\s", each.get("stdout") or "")]


DECISIONS: dict[str, Callable[[Given], Any]] = {
    "digest": lambda given: digest(given["answers"], given["hash"], given["label"]),
    "lacking": lambda given: lacking(given["listed"], given["name"]),
}
