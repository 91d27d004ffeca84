"""Measure backups of an embedded stack with 100,000 runs and a gigabyte of artifacts: a set, a second one, the drill and the restore, over a copy.

It brings up a deployment of its own, and removes it at the end. The copy is of the same folders, with the database's files as they are.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests/integration", "tests/helper", "tests/hosts", "build/collections")]

import psycopg2  # noqa: E402 - after the folders that others need
from backups import Backups, lose, made  # noqa: E402
from deployment import Deployment  # noqa: E402

RUNS, FILES, MEBIBYTE = 100_000, 1000, 1 << 20
#: Further runs, each with the metrics of the one that is there.
MORE = """
INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, to_jsonb(one) || jsonb_build_object('run_uuid', md5(number::text)))).*
FROM {table} AS one, generate_series(1, {runs}) AS number
WHERE one.run_uuid = %s
"""


def fill(stack: Deployment) -> Path:
    """Put in what the figures are about; the folder of the artifacts."""
    there = stack.stack()
    login: dict[str, Any] = {"host": there.pg_host, "user": there.pg_user, "password": there.pg_password.strip(), "dbname": "mlflow"}
    with closing(psycopg2.connect(**login, port=there.pg_port)) as session, session.cursor() as cursor:
        cursor.execute("SELECT run_uuid FROM runs JOIN experiments USING (experiment_id) WHERE experiments.name = 'kept' AND status = 'FINISHED'")
        [row] = cursor.fetchall()
        for table in ("runs", "metrics", "latest_metrics"):
            cursor.execute(MORE.format(table=table, runs=RUNS), row)
        session.commit()
    [folder] = (stack.home / "artifacts").glob(f"*/{row[0]}/artifacts/model")
    add(folder, FILES)
    return folder


def add(folder: Path, files: int) -> None:
    """Add artifacts of a mebibyte, which no tool can shorten."""
    owner = folder.stat()
    for _file in range(files):
        file = folder / f"{time.time_ns()}.bin"
        file.write_bytes(os.urandom(MEBIBYTE))
        os.chown(file, owner.st_uid, owner.st_gid)


def timed(action: Callable[[], object]) -> float:
    """The seconds of an action."""
    start = time.monotonic()
    action()
    return time.monotonic() - start


def copied(stack: Deployment) -> tuple[float, int]:
    """The seconds of a copy that is on the disk, and its bytes."""
    target = stack.home.with_name(f"{stack.home.name}-copy")
    target.mkdir()
    try:
        seconds = timed(lambda: subprocess.run(["sh", "-c", f"cp -a {stack.home}/artifacts {stack.home}/postgresql {target} && sync"], check=True))
        return seconds, sum(file.lstat().st_size for file in target.rglob("*") if file.is_file())
    finally:
        shutil.rmtree(target)


def rows(backups: Backups) -> Iterator[tuple[str, str]]:
    """The rows of the table."""
    stack = backups.stack
    folder = fill(stack)
    copy, size = copied(stack)

    def state() -> dict[str, dict[str, float]]:
        return dict(json.loads((stack.home / "backup/state.json").read_text()))

    def told(what: str, seconds: float) -> tuple[str, str]:
        sizes = f"{state()['backup']['added'] / 1e6:.0f} MB, {size / 1e6:.0f} MB"
        return f"{what}, over a copy", f"{seconds / copy:.2f}  ({seconds:.1f} s, {copy:.1f} s; {sizes})"

    first = timed(backups.back_up)
    yield told("first set, with the playbook", first)
    yield told("first set, without it", state()["backup"]["seconds"])
    add(folder, 10)
    second = timed(backups.back_up)
    yield told("second set, 10 MiB more, with the playbook", second)
    yield told("second set, without it", state()["backup"]["seconds"])
    backups.back_up(mlflow_backup_drill=True)
    yield "drill: seconds, and what it found wrong", f"{state()['drill']['seconds']:.1f} s, {state()['drill']['problems']}"
    lose(stack)
    yield "restore of all that was lost, until MLflow answers", f"{timed(backups.restore):.1f} s"


def main() -> None:
    """Measure, and print each figure as it is known."""
    for backups in made("bench-backup", 29600, artifact_store_provider=None):
        for what, figure in rows(backups):
            print(f"{what:<64}{figure}", flush=True)


if __name__ == "__main__":
    main()
