# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The contents of a bucket: objects, their versions and unfinished uploads; and test objects, which leave nothing behind."""
from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any, Callable

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError, Unreachable, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._s3.client import Answer, S3Client

_PROBE_BYTES = 64 * 1024


class Contents:
    """The contents of one bucket. ``prefix`` is where test objects are written."""

    def __init__(self, client: S3Client, name: str, prefix: str) -> None:
        self._client = client
        self._name = name
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""

    def samples(self) -> dict[str, str]:
        """Return one example key for each kind of contents."""
        found = {}
        try:
            page = self._client.call("list_object_versions", Bucket=self._name, MaxKeys=1)
        except Unsupported:
            page = {"Versions": self._client.call("list_objects_v2", Bucket=self._name, MaxKeys=1).get("Contents", [])}
        for entry in (page.get("Versions") or page.get("DeleteMarkers") or [])[:1]:
            found["objects" if entry.get("IsLatest", True) and page.get("Versions") else "old versions"] = str(entry["Key"])
        for upload in self._uploads(MaxUploads=1)[:1]:
            found["unfinished uploads"] = str(upload["Key"])
        return found

    def delete(self) -> None:
        """Delete everything, old versions and unfinished uploads included. Raises ServerError at the first that cannot be deleted."""
        for page in self._versions():
            self._delete_entries(page)
        for upload in self._uploads():
            self._client.call_or_none(
                "abort_multipart_upload", {"NoSuchUpload"}, Bucket=self._name, Key=upload["Key"], UploadId=upload["UploadId"]
            )

    def is_empty(self) -> bool:
        """Whether there is no object under the prefix."""
        return not self._client.call("list_objects_v2", Bucket=self._name, Prefix=self._prefix, MaxKeys=1).get("Contents")

    def try_write(self, **headers: str) -> None:
        """Write a small object with ``headers`` and delete it. Raises ServerError."""
        key = self._probe_key()
        self._client.call("put_object", Bucket=self._name, Key=key, Body=b"probe", **headers)
        self._discard(key)

    def verify(self, versioned: bool) -> dict[str, float]:
        """Write, read and delete an object, and return how long each took, in milliseconds. Leaves nothing behind, not even versions."""
        key, content = self._probe_key(), os.urandom(_PROBE_BYTES)
        step = "write"
        try:
            put_ms, written = _timed(lambda: self._client.call("put_object", Bucket=self._name, Key=key, Body=content))
            step = "read"
            get_ms, found = _timed(lambda: self._client.download(Bucket=self._name, Key=key))
            step = "delete"
            # Without a version ID, S3 leaves a delete marker. While versioning is suspended, new objects have the version 'null'.
            version = written.get("VersionId") or ("null" if versioned else None)
            which = {"VersionId": version} if version else {}
            delete_ms, _answer = _timed(lambda: self._client.call("delete_object", Bucket=self._name, Key=key, **which))
            if versioned:
                self._discard(key)
        except ServerError as error:
            self._discard(key, quietly=True)
            hint = "; the server may have no key for the configured encryption" if step == "write" and isinstance(error, Unreachable) else ""
            raise ServerError(f"verify: cannot {step} s3://{self._name}/{key}: {error}{hint}") from None
        if found != content:
            raise ServerError(
                f"verify: s3://{self._name}/{key} was read back with {len(found)} bytes that are not the {len(content)} written; "
                "check the server's disks, and any proxy or cache in front of it"
            )
        return {"put_ms": put_ms, "get_ms": get_ms, "delete_ms": delete_ms}

    def _uploads(self, **params: Any) -> list[Answer]:
        marks = {"NextKeyMarker": "KeyMarker", "NextUploadIdMarker": "UploadIdMarker"}
        uploads: list[Answer] = []
        try:
            for page in self._client.pages("list_multipart_uploads", marks, Bucket=self._name, **params):
                uploads += page.get("Uploads", [])
                if params:
                    break
        except Unsupported:
            pass
        return uploads

    def _versions(self, **params: Any) -> Iterator[list[Answer]]:
        """All versions and delete markers, page by page; objects if the server does not support versions."""
        marks = {"NextKeyMarker": "KeyMarker", "NextVersionIdMarker": "VersionIdMarker"}
        try:
            for page in self._client.pages("list_object_versions", marks, Bucket=self._name, **params):
                yield [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        except Unsupported:
            for page in self._client.pages("list_objects_v2", {"NextContinuationToken": "ContinuationToken"}, Bucket=self._name, **params):
                yield page.get("Contents", [])

    def _delete_entries(self, entries: list[Answer]) -> None:
        """Delete up to 1000 entries of a listing, the limit of a page and of DeleteObjects."""
        if not entries:
            return
        objects = [{key: entry[key] for key in ("Key", "VersionId") if entry.get(key)} for entry in entries]
        answer = self._client.call("delete_objects", Bucket=self._name, Delete={"Objects": objects, "Quiet": True})
        for failure in answer.get("Errors", [])[:1]:
            raise ServerError(
                f"force: {failure.get('Key')!r} in bucket {self._name!r} cannot be deleted ({failure.get('Code')}: {failure.get('Message')}); "
                "see whether a lock or a policy protects it"
            )

    def _discard(self, key: str, quietly: bool = False) -> None:
        """Delete every version of ``key``."""
        try:
            entries = [entry for page in self._versions(Prefix=key) for entry in page if entry["Key"] == key]
            for entry in entries:
                version = {"VersionId": entry["VersionId"]} if entry.get("VersionId") else {}
                self._client.call("delete_object", Bucket=self._name, Key=key, **version)
        except ServerError:
            if not quietly:
                raise

    def _probe_key(self) -> str:
        return f"{self._prefix}.mlops-mlflow-probe-{os.urandom(8).hex()}"


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    answer = call()
    return round((time.perf_counter() - start) * 1000, 1), answer
