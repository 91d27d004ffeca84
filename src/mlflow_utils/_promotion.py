"""Giving an alias or a stage to a version, while other clients may do the same.

What MLflow's API does not give is a compare-and-set, so of two clients that promote at the same moment the later one wins, and the history may
miss one step. Each promotion reads the place back afterwards and raises ``Conflict`` where another client has been there in between.

A promotion by a metric holds its gate all the same against others of this package. It announces its version in a tag of the model (``_claims``), and
reads who else has: a worse one than another steps back, waits for that to end and compares anew; a better one waits, once it has the place, for those
that it saw to end, and takes the place again from one that came later. What is left is a window: until then, some tenths of a second, the worse
version may hold the place; and a client that sleeps for more than `CLAIM_SECONDS` between its announcement and its move counts as dead, and its
move is seen by nobody. A promotion without a metric, by hand, has no gate and announces nothing.
"""
from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from . import _claims, _history
from ._alias_or_stage import Place
from ._reading import or_none
from ._selection import MetricCheck
from ._versions import RegistryError, Versions

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

#: How long another client's promotion is waited for, in seconds, before it counts as dead; one takes some tenths of a second.
CLAIM_SECONDS = 10.0
_LOOK: Final = 0.1
#: Compares a candidate with who holds the place.
_Compare: TypeAlias = "Callable[[ModelVersion, ModelVersion | None], MetricCheck]"


class Conflict(RegistryError):
    """Another client changed the same alias or stage at the same moment."""


@dataclass(frozen=True)
class Promotion:
    """What ``promote`` did: ``place`` is ``alias champion`` or ``stage Production``, ``previous`` the version that held it before, if any.

    ``promoted`` is False where the version was not good enough, or held the place already. ``check`` is the comparison, None without a metric.
    """

    name: str
    version: str
    place: str
    previous: str | None
    promoted: bool
    reason: str
    check: MetricCheck | None = None


class Places(Versions):
    """The aliases and stages of the models, who holds them, and how they are given."""

    def _promote_if_better(self, candidate: ModelVersion, place: Place, compare: _Compare) -> Promotion:
        """`promote` with a metric, which ``compare`` compares."""
        name = candidate.name
        while True:
            with self._claim(candidate, place) as claim:
                others = {tag: version for tag, version in self._claims(name, place).items() if tag != claim}
                holder = self._holder(name, place)
                current = holder.version if holder else None
                if current == candidate.version:
                    return Promotion(name, candidate.version, str(place), current, False, f"version {current} holds {place} already")
                check = compare(candidate, holder)
                if not check.passed:
                    return Promotion(name, candidate.version, str(place), current, False, check.reason, check)
                better = self._better(candidate, others, compare)
                if not better:
                    self._write(name, place, _history.promotion(self._past(name, place), current, candidate.version), check=False)
                    done = Promotion(name, candidate.version, str(place), current, True, check.reason, check)
                    return self._defended(candidate, place, compare, others, done)
            self._wait_for(name, place, better)

    def _defended(
        self,
        candidate: ModelVersion,
        place: Place,
        compare: _Compare,
        others: Mapping[str, str],
        done: Promotion,
    ) -> Promotion:
        """What came of the promotion ``done``, once the ``others`` that were seen before it, all of them worse, have ended."""
        name = candidate.name
        for _attempt in range(len(others) + 1):
            self._wait_for(name, place, others)
            holder = self._holder(name, place)
            if holder is not None and holder.version == candidate.version:
                return done
            if holder is None or holder.version not in others.values():
                break
            check = compare(candidate, holder)
            if not check.passed:
                return Promotion(name, candidate.version, str(place), holder.version, False, check.reason, check)
            self._write(name, place, _history.promotion(self._past(name, place), holder.version, candidate.version), check=False)
            done = Promotion(name, candidate.version, str(place), holder.version, True, check.reason, check)
        raise self._conflict(name, place, candidate.version, self._holder(name, place))

    def _better(
        self, candidate: ModelVersion, others: Mapping[str, str], compare: _Compare
    ) -> dict[str, str]:
        """Those of ``others`` that have the candidate's metric and are better, or as good and older."""
        found = {}
        for tag, version in others.items():
            other = or_none(lambda number=version: self._mlflow.get_model_version(candidate.name, number))  # type: ignore[misc]
            improvement = compare(candidate, other).improvement if other else None
            if improvement is not None and (improvement < 0 or (improvement == 0 and int(version) < int(candidate.version))):
                found[tag] = version
        return found

    @contextmanager
    def _claim(self, candidate: ModelVersion, place: Place) -> Iterator[str]:
        """Announce the promotion while the block runs; gives the tag that does."""
        tag = _claims.PREFIX + uuid.uuid4().hex
        self._mlflow.set_registered_model_tag(candidate.name, tag, _claims.value_of(str(place), str(candidate.version)))
        try:
            yield tag
        finally:
            self._withdraw(candidate.name, tag)

    def _withdraw(self, name: str, tag: str) -> None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - costs two seconds

        with suppress(MlflowException):  # who waits for it takes it away after a while
            self._mlflow.delete_registered_model_tag(name, tag)

    def _claims(self, name: str, place: Place) -> dict[str, str]:
        return _claims.claims(self.model(name).tags, str(place))

    def _wait_for(self, name: str, place: Place, claims: Collection[str]) -> None:
        """Wait until the claims are gone. Those that stay for `CLAIM_SECONDS` are of the dead, and are taken away."""
        deadline = time.monotonic() + CLAIM_SECONDS
        while claims and (left := set(claims) & self._claims(name, place).keys()):
            if time.monotonic() >= deadline:
                for tag in left:
                    self._withdraw(name, tag)
                return
            time.sleep(_LOOK)

    def _past(self, name: str, place: Place) -> list[str]:
        return _history.parse(self.model(name).tags.get(place.history_tag))

    def _holder(self, name: str, place: Place) -> ModelVersion | None:
        if place.kind == "alias":
            held = self.model(name).aliases.get(place.name)
            return self.version(name, held) if held is not None else None
        return next((version for version in self.versions(name) if version.current_stage == place.name), None)

    def _write(self, name: str, place: Place, writes: Iterable[_history.Write], *, check: bool = True) -> None:
        """Make the writes. With ``check``, raises Conflict where another client has been there in between."""
        for write in writes:
            if write.holder is not None:
                self._give(name, place, write.holder, check=check)
            else:
                self._mlflow.set_registered_model_tag(name, place.history_tag, _history.render(write.history))

    def _give(self, name: str, place: Place, version: str, *, check: bool) -> None:
        if place.kind == "alias":
            self._mlflow.set_registered_model_alias(name, place.name, version)
        else:
            with warnings.catch_warnings():  # who asks for a stage knows that aliases are newer
                warnings.simplefilter("ignore", FutureWarning)
                self._mlflow.transition_model_version_stage(name, version, place.name, archive_existing_versions=place.is_active_stage)
        holder = self._holder(name, place) if check else None
        if check and (holder is None or holder.version != version):
            raise self._conflict(name, place, version, holder)

    def _conflict(self, name: str, place: Place, version: str, holder: ModelVersion | None) -> Conflict:
        now = f"version {holder.version} has it" if holder else "no version has it"
        return Conflict(f"version {version} of the model {name!r} got the {place}, and another client changed that at once: {now}; try again")
