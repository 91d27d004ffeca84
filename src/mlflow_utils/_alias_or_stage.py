"""What a version can be promoted to: an alias or a stage of its model. No I/O."""
from __future__ import annotations

import re
from dataclasses import dataclass

CHAMPION = "champion"
STAGES = ("None", "Staging", "Production", "Archived")


@dataclass(frozen=True)
class Place:
    """An alias or a stage of a model, which one version is meant to hold. ``kind`` is ``alias`` or ``stage``."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def history_tag(self) -> str:
        """The model's tag with the versions that held it; no alias has a dot, so no alias's tag is a stage's."""
        return f"mlflow_utils.history.{self.name}" if self.kind == "alias" else f"mlflow_utils.history.stage.{self.name}"

    @property
    def is_active_stage(self) -> bool:
        """Whether MLflow can archive the others in the same request."""
        return self.kind == "stage" and self.name in ("Staging", "Production")


def place_of(alias: str | None, stage: str | None) -> Place:
    """The place that two options name, the alias ``champion`` where neither does. Raises ValueError.

    >>> str(place_of(None, None)), str(place_of(None, "production"))
    ('alias champion', 'stage Production')
    """
    if alias is not None and stage is not None:
        raise ValueError(f"both alias ({alias!r}) and stage ({stage!r}) are given; leave one of them out")
    if stage is not None:
        return Place("stage", stage_of(stage))
    alias = CHAMPION if alias is None else alias
    if not re.fullmatch(r"[\w-]{1,255}", alias) or alias == "latest" or re.fullmatch(r"[vV]\d+", alias):
        raise ValueError(f"the alias is {alias!r}; MLflow takes letters, digits, '_' and '-', but neither 'latest' nor 'v' with a number")
    return Place("alias", alias)


def stage_of(stage: str) -> str:
    """The stage as MLflow writes it, whatever the case. Raises ValueError."""
    for known in STAGES:
        if stage.lower() == known.lower():
            return known
    raise ValueError(f"the stage is {stage!r}; MLflow has the stages {', '.join(STAGES)}")
