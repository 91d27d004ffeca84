"""What a training outside the cluster does with the real mlflow package: a run with an artifact, there and back. Its last line is the run's ID."""
from __future__ import annotations

import tempfile
from pathlib import Path

import mlflow

CONTENT = bytes(range(256)) * 4096 * 9  # more than one part of an upload
mlflow.set_experiment("from-outside")
with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
    mlflow.log_metric("accuracy", 0.9)
    there = Path(folder) / "data.bin"
    there.write_bytes(CONTENT)
    mlflow.log_artifact(str(there))
    back = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="data.bin", dst_path=str(Path(folder) / "back"))
    assert Path(back).read_bytes() == CONTENT
assert mlflow.get_run(run.info.run_id).data.metrics["accuracy"] == 0.9
print(run.info.run_id)
