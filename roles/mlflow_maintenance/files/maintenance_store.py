"""Artifacts of an MLflow server, by MLflow's own artifact repositories, without the server in between."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from maintenance_plan import Amount, Place
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository


class Artifacts:
    """The artifacts below a destination, and those elsewhere that rows name."""

    def __init__(self, destination: str) -> None:
        self.place = Place(Place("").of(destination))
        self.repository: Any = get_artifact_repository(destination)

    @property
    def is_folder(self) -> bool:
        """Whether the destination is a folder of this machine."""
        return self.place.destination.startswith("/")

    def _reached(self, place: str) -> tuple[Any, str]:
        """The repository of a place, and the path in it."""
        path = self.place.path(place)
        return (get_artifact_repository(place), "") if path is None else (self.repository, path)

    def measure(self, place: str) -> Amount:
        """Return the files in a place, and their bytes; none if it does not exist."""
        found = Amount()
        if place.startswith("/"):
            for _path, size, _modified in _files(Path(place)):
                found.add(1, size)
        elif place.startswith("s3://"):
            for _path, size, _modified in _objects(self.repository, place):
                found.add(1, size)
        else:
            repository, path = self._reached(place)
            for size in _listed(repository, path or None):
                found.add(1, size)
        return found

    def children(self, place: str) -> set[str]:
        """Return the names of what is directly in a place."""
        repository, path = self._reached(place)
        if place.startswith("/") and not os.path.isdir(place):
            return set()
        return {each.path.rstrip("/").rpartition("/")[2] for each in repository.list_artifacts(path or None)}

    def delete(self, place: str) -> None:
        """Delete what is in a place. Raises OSError if something is still there."""
        repository, path = self._reached(place)
        try:
            repository.delete_artifacts(path or None)
        except Exception:
            # Some repositories refuse to delete what is not there.
            if self.measure(place).files:
                raise
        if self.place.path(place) and self.is_folder:
            # The folder of a run, of which MLflow deletes what is in it.
            with suppress(OSError):
                os.rmdir(os.path.dirname(place))
        # An S3 server may refuse single objects, which MLflow does not look at.
        left = self.measure(place).files
        if left:
            raise OSError(f"{left} files are still there")

    def walk(self) -> Iterator[tuple[str, int, float]] | None:
        """Return path, bytes and time of change of everything below the destination; None for a kind of store that does not tell."""
        if self.is_folder:
            return _files(Path(self.place.destination))
        return _objects(self.repository, self.place.destination) if self.place.destination.startswith("s3://") else None


def _files(folder: Path) -> Iterator[tuple[str, int, float]]:
    for place, _folders, names in os.walk(folder, onerror=_unreadable):
        for name in names:
            path = os.path.join(place, name)
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                continue  # deleted meanwhile
            yield os.path.relpath(path, folder), found.st_size, found.st_mtime


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _objects(repository: Any, place: str) -> Iterator[tuple[str, int, float]]:
    bucket, _slash, path = place.removeprefix("s3://").partition("/")
    prefix = f"{path.rstrip('/')}/" if path else ""
    if not hasattr(repository, "_get_s3_client"):
        repository = get_artifact_repository(place)
    for page in repository._get_s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for each in page.get("Contents", ()):
            yield each["Key"][len(prefix):], int(each["Size"]), each["LastModified"].timestamp()


def _listed(repository: Any, path: str | None) -> Iterator[int]:
    for each in repository.list_artifacts(path):
        if each.is_dir:
            yield from _listed(repository, each.path)
        else:
            yield each.file_size or 0
