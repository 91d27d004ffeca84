# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""MLflow's URIs for versions of registered models. No I/O."""
from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption

LATEST = "latest"
#: The stages of versions, as MLflow spells them.
STAGES = {stage.lower(): stage for stage in ("None", "Staging", "Production", "Archived")}


class ModelUri(NamedTuple):
    """A version of the registered model ``name``: the one that ``alias``, ``version`` or ``stage`` names, or the newest of all."""

    name: str
    alias: str | None = None
    version: str | None = None
    stage: str | None = None


def parse(uri: str) -> ModelUri:
    """The parts of ``uri``. Raises InvalidOption.

    >>> parse("models:/iris@champion").alias, parse("models:/iris/3").version, parse("models:/iris/production").stage
    ('champion', '3', 'Production')
    >>> parse("models:/me@home@champion")
    ModelUri(name='me@home', alias='champion', version=None, stage=None)
    >>> parse("models:/iris/latest")
    ModelUri(name='iris', alias=None, version=None, stage=None)
    >>> parse("runs:/1f/model")
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: term: 'runs:/1f/model' is not the address of a model's version; use models:/NAME@ALIAS, ...
    """
    found = re.fullmatch(r"models:/([^/:]+?)(?:@([\w-]+)|/([^/:]+))", uri)
    if found:
        name, alias, which = found.groups()
        if alias:
            return ModelUri(name, alias=alias)
        if re.fullmatch(r"[1-9][0-9]*", which):
            return ModelUri(name, version=which)
        if which.lower() == LATEST:
            return ModelUri(name)
        if which.lower() in STAGES:
            return ModelUri(name, stage=STAGES[which.lower()])
    raise InvalidOption("term", uri, "is not the address of a model's version", "use models:/NAME@ALIAS, models:/NAME/VERSION or models:/NAME/latest")
