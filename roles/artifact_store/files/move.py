"""Copies MLflow's artifacts from one S3 store to another, a part at each call: ``move.py REQUEST``, on the first k3s server.

REQUEST is JSON without secrets: ``kubeconfig``, ``namespace``, ``server`` (the name of MLflow's Deployment, whose store is the source), ``target``
(``destination``, ``environment``, ``secret_environment`` and ``volumes`` of ``artifact_store_connection``), ``folder``, ``seconds`` (how long a call
may begin to copy objects) and ``check`` (only count). Each object is read back from the target and compared by its SHA-256. What was is noted in a
ledger in the folder, so that a later call does what is left, after an interruption too. Prints JSON: ``finished``, ``already`` (the server uses the
target, and no move was begun) and counts. An error is one line, and status 1.
"""
from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

#: Objects that are copied at the same time. Each takes up to two parts of 8 MiB of memory.
CONCURRENCY = 8
#: What of an object's metadata is copied with it, by boto3's names.
METADATA = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Metadata")
LEDGER, SOURCE = "copied.jsonl", "source.json"


class MoveError(Exception):
    """What stands in the way, in one sentence."""


@dataclass(frozen=True)
class Store:
    """How MLflow reaches a store: its ``destination`` (``s3://BUCKET/PREFIX``), its environment, where its secrets are, and its mounted volumes."""

    destination: str
    environment: Mapping[str, str]
    secret_environment: Mapping[str, Mapping[str, str]]
    volumes: Sequence[Mapping[str, Any]] = ()

    @property
    def bucket(self) -> str:
        """The name of the bucket."""
        return urlsplit(self.destination).netloc

    @property
    def prefix(self) -> str:
        """What all keys begin with: empty, or ending with a slash."""
        path = urlsplit(self.destination).path.strip("/")
        return f"{path}/" if path else ""

    @property
    def place(self) -> tuple[str, str, str]:
        """Where it is: the endpoint, empty for AWS, the bucket and the prefix."""
        return self.environment.get("MLFLOW_S3_ENDPOINT_URL", ""), self.bucket, self.prefix


@dataclass(frozen=True)
class Listed:
    """An object as a listing has it: its entity tag and its size in bytes."""

    etag: str
    size: int


@dataclass(frozen=True)
class Copied:
    """An object that was copied and read back: what it was at the source, what the target calls it, and the SHA-256 of its content."""

    key: str
    etag: str
    size: int
    target_etag: str
    sha256: str


@dataclass(frozen=True)
class Plan:
    """What is left to do, by keys below the prefix. ``newer`` are those that the server has changed at the target since it was switched."""

    copy: Sequence[str]
    delete: Sequence[str]
    newer: Sequence[str]


def store_of(deployment: Mapping[str, Any]) -> Store:
    """Return the store that the pods of an MLflow server's Deployment use. Raises MoveError if it is not S3.

    >>> env = [{"name": "MLFLOW_ARTIFACTS_DESTINATION", "value": "s3://b/p"}, {"name": "AWS_DEFAULT_REGION", "value": "eu"},
    ...        {"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    >>> pod = {"containers": [{"name": "mlflow", "env": env}]}
    >>> found = store_of({"spec": {"template": {"spec": pod}}})
    >>> found.place, found.environment, found.secret_environment
    (('', 'b', 'p/'), {'AWS_DEFAULT_REGION': 'eu'}, {'AWS_ACCESS_KEY_ID': {'name': 's', 'key': 'k'}})
    """
    pod = deployment["spec"]["template"]["spec"]
    container = next(each for each in pod["containers"] if each["name"] == "mlflow")
    plain = {entry["name"]: str(entry["value"]) for entry in container["env"] if "value" in entry}
    secret = {entry["name"]: (entry.get("valueFrom") or {}).get("secretKeyRef") for entry in container["env"]}
    destination = plain.get("MLFLOW_ARTIFACTS_DESTINATION", "")
    if not destination.startswith("s3://"):
        raise MoveError(f"the server's artifacts are in {destination or 'no store'}, which is not S3; only objects in S3 can be moved")
    sources = {volume["name"]: {key: value for key, value in volume.items() if key != "name"} for volume in pod.get("volumes") or ()}
    mounted = container.get("volumeMounts") or ()
    mounts = [{"name": mount["name"], "mount_path": mount["mountPath"], "source": sources[mount["name"]]} for mount in mounted]
    wanted = ("AWS_", "MLFLOW_S3_")
    return Store(
        destination,
        {name: value for name, value in plain.items() if name.startswith(wanted)},
        {name: {"name": reference["name"], "key": reference["key"]} for name, reference in secret.items() if reference and name.startswith(wanted)},
        [mount for mount in mounts if "secret" in mount["source"]],
    )


def plan(source: Mapping[str, Listed], target: Mapping[str, Listed], ledger: Mapping[str, Copied], switched: bool) -> Plan:
    """Return what is left to do so that the target has what the source has, and what the server has written there since it was switched.

    >>> a, b = Listed("a", 1), Listed("b", 1)
    >>> noted = {"k": Copied("k", "a", 1, "t", "…")}
    >>> plan({"k": a}, {}, {}, False), plan({"k": a}, {"k": Listed("t", 1)}, noted, False)
    (Plan(copy=['k'], delete=[], newer=[]), Plan(copy=[], delete=[], newer=[]))

    Overwritten or deleted at the source since it was copied:

    >>> plan({"k": b}, {"k": Listed("t", 1)}, noted, True), plan({}, {"k": Listed("t", 1)}, noted, True)
    (Plan(copy=['k'], delete=[], newer=[]), Plan(copy=[], delete=['k'], newer=[]))

    Overwritten or deleted at the target, which is the server's doing once it was switched, and a loss before:

    >>> plan({"k": a}, {"k": Listed("u", 1)}, noted, True), plan({"k": a}, {}, noted, True)
    (Plan(copy=[], delete=[], newer=['k']), Plan(copy=[], delete=[], newer=['k']))
    >>> plan({"k": a}, {"k": Listed("u", 1)}, noted, False), plan({"k": a}, {}, noted, False)
    (Plan(copy=['k'], delete=[], newer=[]), Plan(copy=['k'], delete=[], newer=[]))
    """
    copy: list[str] = []
    newer: list[str] = []
    for key, there in sorted(source.items()):
        done, have = ledger.get(key), target.get(key)
        untouched = done is not None and have == Listed(done.target_etag, done.size)
        if done is not None and untouched and there == Listed(done.etag, done.size):
            continue
        is_servers = switched and not untouched and (have is not None or done is not None)
        (newer if is_servers else copy).append(key)
    delete = [key for key, done in sorted(ledger.items()) if key not in source and target.get(key) == Listed(done.target_etag, done.size)]
    return Plan(copy, delete, newer)


def summary(keys: Iterable[str], ledger: Mapping[str, Copied]) -> str:
    r"""Return one SHA-256 for all objects: of the lines ``SHA-256  KEY``, sorted by key, as ``sha256sum`` prints them.

    >>> summary(["k"], {"k": Copied("k", "a", 0, "t", "e3b0")}) == hashlib.sha256(b"e3b0  k\n").hexdigest()
    True
    """
    return hashlib.sha256("".join(f"{ledger[key].sha256}  {key}\n" for key in sorted(keys) if key in ledger).encode()).hexdigest()


def lines(text: str) -> Iterator[Copied]:
    r"""Yield the entries of a ledger. A last line that a power cut has cut is left out.

    >>> list(lines('{"key": "k", "etag": "a", "size": 1, "target_etag": "t", "sha256": "s"}\n{"key": "l", "et'))
    [Copied(key='k', etag='a', size=1, target_etag='t', sha256='s')]
    """
    for line in text.splitlines():
        try:
            yield Copied(**json.loads(line))
        except (ValueError, TypeError):
            continue


class Kubernetes:
    """What the cluster knows of a store's secrets and address."""

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        from kubernetes import client, config  # noqa: PLC0415 (the tests of all else have no such library)
        config.load_kube_config(kubeconfig)
        self._api, self._core, self._apps, self._namespace = client.ApiClient(), client.CoreV1Api(), client.AppsV1Api(), namespace

    def deployment(self, name: str) -> Mapping[str, Any]:
        """Return a Deployment as its manifest."""
        return cast("Mapping[str, Any]", self._api.sanitize_for_serialization(self._apps.read_namespaced_deployment(name, self._namespace)))

    def secret(self, name: str, key: str) -> str:
        """Return a value of a Secret. Raises MoveError if it has none."""
        data = self._core.read_namespaced_secret(name, self._namespace).data or {}
        if key not in data:
            raise MoveError(f"Secret {name} in namespace {self._namespace} has no key {key}")
        return base64.b64decode(data[key]).decode()

    def reached(self, url: str) -> str:
        """Return the URL with a Service's name replaced by its address, since this host does not use the cluster's DNS."""
        parts = urlsplit(url)
        name, _dot, rest = (parts.hostname or "").partition(".")
        if parts.scheme != "http" or rest not in ("", self._namespace, f"{self._namespace}.svc", f"{self._namespace}.svc.cluster.local"):
            return url
        found = [each for each in self._core.list_namespaced_service(self._namespace).items if each.metadata.name == name]
        return parts._replace(netloc=f"{found[0].spec.cluster_ip}:{parts.port or 80}").geturl() if found else url


class Bucket:
    """The objects of a store, by their keys below its prefix."""

    def __init__(self, store: Store, cluster: Kubernetes, folder: Path, label: str) -> None:
        secrets = {name: cluster.secret(reference["name"], reference["key"]) for name, reference in store.secret_environment.items()}
        values = {**store.environment, **secrets}
        url = values.get("MLFLOW_S3_ENDPOINT_URL")
        config = Config(
            s3={"addressing_style": "path" if url else "auto"}, retries={"total_max_attempts": 5, "mode": "standard"},
            max_pool_connections=2 * CONCURRENCY, request_checksum_calculation="when_required", response_checksum_validation="when_required",
        )
        self._store = store
        self._client: Any = boto3.client(
            "s3", endpoint_url=cluster.reached(url) if url else None, region_name=values.get("AWS_DEFAULT_REGION"), config=config,
            aws_access_key_id=values.get("AWS_ACCESS_KEY_ID"), aws_secret_access_key=values.get("AWS_SECRET_ACCESS_KEY"),
            verify=_authority(store, values, cluster, folder / f"{label}-ca.crt"),
        )

    def listed(self) -> dict[str, Listed]:
        """Return all objects."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._store.bucket, Prefix=self._store.prefix)
        start = len(self._store.prefix)
        return {found["Key"][start:]: Listed(found["ETag"].strip('"'), found["Size"]) for page in pages for found in page.get("Contents", ())}

    def open(self, key: str) -> Any:
        """Return the answer of GetObject, whose ``Body`` is a stream; None if there is no such object."""
        try:
            return self._client.get_object(Bucket=self._store.bucket, Key=self._store.prefix + key)
        except self._client.exceptions.NoSuchKey:
            return None

    def put(self, key: str, body: BinaryIO, metadata: Mapping[str, Any]) -> None:
        """Write an object from a stream, in parts of 8 MiB if it is larger."""
        # One thread reads the stream, so that it can be hashed on the way.
        one = TransferConfig(use_threads=False)
        self._client.upload_fileobj(body, self._store.bucket, self._store.prefix + key, ExtraArgs=dict(metadata), Config=one)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._client.delete_object(Bucket=self._store.bucket, Key=self._store.prefix + key)


def _authority(store: Store, values: Mapping[str, str], cluster: Kubernetes, file: Path) -> str | None:
    """Write the CA that the pods mount to a file, and return its path; None for the system's own."""
    bundle = values.get("AWS_CA_BUNDLE")
    mount = next((each for each in store.volumes if bundle and Path(bundle).parent == Path(each["mount_path"])), None)
    if not bundle or not mount:
        return None
    secret, name = mount["source"]["secret"], Path(bundle).name
    keys = {item["path"]: item["key"] for item in secret.get("items") or ()}
    file.write_text(cluster.secret(secret["secretName"], keys.get(name, name)))
    return str(file)


class _Hashed:
    """A stream that keeps the SHA-256 and the length of what was read of it."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.sha256, self.size = stream, hashlib.sha256(), 0

    def read(self, amount: int | None = None) -> bytes:
        """Read up to so many bytes, or all."""
        content: bytes = self._stream.read(amount)
        self.sha256.update(content)
        self.size += len(content)
        return content


def copy(source: Bucket, target: Bucket, key: str) -> Copied | None:
    """Copy an object, read it back and compare; None if it was deleted since it was listed. Raises MoveError if the two differ."""
    answer = source.open(key)
    if answer is None:
        return None
    stream = _Hashed(answer["Body"])
    target.put(key, cast("BinaryIO", stream), {name: answer[name] for name in METADATA if answer.get(name)})
    written = target.open(key)
    if written is None:
        raise MoveError(f"{key}: the target took it, but does not have it; run again")
    back = _Hashed(written["Body"])
    while back.read(1 << 20):
        pass
    size = answer["ContentLength"]
    if (back.size, back.sha256.hexdigest()) != (stream.size, stream.sha256.hexdigest()) or stream.size != size:
        raise MoveError(f"{key}: what was written is not what was read ({stream.size} of {size} bytes, {back.size} back); run again")
    return Copied(key, answer["ETag"].strip('"'), stream.size, written["ETag"].strip('"'), stream.sha256.hexdigest())


class Ledger:
    """What was copied, one line an object, written before the object counts as copied."""

    def __init__(self, file: Path) -> None:
        file.touch(mode=0o600)
        self.entries = {entry.key: entry for entry in lines(file.read_text())}
        self._handle = file.open("a")
        # After a line that was cut.
        self._handle.write("\n")
        self._lock = threading.Lock()

    def add(self, entry: Copied) -> None:
        """Note an object."""
        with self._lock:
            self.entries[entry.key] = entry
            self._handle.write(json.dumps(asdict(entry)) + "\n")
            self._handle.flush()

    def close(self) -> None:
        """Write it to the disk."""
        self._handle.flush()
        os.fsync(self._handle.fileno())
        self._handle.close()


def work(source: Bucket, target: Bucket, todo: Plan, ledger: Ledger, until: float) -> None:
    """Copy and delete what is planned until that time of ``time.monotonic``; what has begun is finished. Raises the first error."""
    pending, lock = iter(todo.copy), threading.Lock()

    def worker() -> None:
        while time.monotonic() < until:
            with lock:
                key = next(pending, None)
            if key is None:
                return
            done = copy(source, target, key)
            if done:
                ledger.add(done)

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        workers = [pool.submit(worker) for _number in range(CONCURRENCY)]
    for each in workers:
        each.result()
    for key in todo.delete:
        target.delete(key)


def remembered(folder: Path, current: Store) -> Store:
    """Return the source of the move that was begun, or else the current store, which is noted for later calls."""
    file = folder / SOURCE
    if not file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_text(json.dumps(asdict(current)))
        new.rename(file)
    return Store(**json.loads(file.read_text()))


def moved(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do a part of the move, and return the counts."""
    cluster, folder = Kubernetes(request["kubeconfig"], request["namespace"]), Path(request["folder"])
    current = store_of(cluster.deployment(request["server"]))
    new = Store(**{name: request["target"][name] for name in ("destination", "environment", "secret_environment", "volumes")})
    switched = current.place == new.place
    if switched and not (folder / SOURCE).exists():
        return {"finished": True, "already": True}
    if request["check"]:
        listed = Bucket(current, cluster, folder, "source").listed()
        return {"finished": True, "already": False, "objects": len(listed), "bytes": sum(each.size for each in listed.values())}
    old = remembered(folder, current)
    source, target = Bucket(old, cluster, folder, "source"), Bucket(new, cluster, folder, "target")
    began, ledger = time.monotonic(), Ledger(folder / LEDGER)
    try:
        there = source.listed()
        todo = plan(there, target.listed(), ledger.entries, switched)
        # A long listing is made up for by a long part.
        work(source, target, todo, ledger, time.monotonic() + max(float(request["seconds"]), 4 * (time.monotonic() - began)))
    finally:
        ledger.close()
    left = {key for key in todo.copy if key not in ledger.entries or ledger.entries[key].etag != there[key].etag}
    return {
        # Only a call that finds nothing to do has seen that nothing is left.
        "finished": not todo.copy and not todo.delete, "already": False,
        "objects": len(there), "bytes": sum(each.size for each in there.values()),
        "copied": len(there) - len(left), "copied_bytes": sum(each.size for key, each in there.items() if key not in left),
        "newer": len(todo.newer), "sha256": summary(there, ledger.entries), "source": old.destination, "target": new.destination,
    }


def main(text: str) -> int:
    """Return the exit status."""
    from kubernetes.client import ApiException  # noqa: PLC0415
    try:
        print(json.dumps(moved(json.loads(text))))
    except (MoveError, OSError, BotoCoreError, ClientError, ApiException, HTTPError) as error:
        detail = f"{error.status} {error.reason}" if isinstance(error, ApiException) else str(error)
        print(" ".join(detail.split()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
