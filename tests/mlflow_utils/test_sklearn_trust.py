"""Models that MLflow refuses as it is: what the environment variable lets pass, and what it does not."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SAVE = """
import sys
import mlflow
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

features, labels = make_classification(60, random_state=0)


class Own(RandomForestClassifier):
    pass


models = {
    "forest": RandomForestClassifier(5),
    "boosting": HistGradientBoostingClassifier(max_iter=5),
    "process": GaussianProcessClassifier(),
    "density": KernelDensity(),
    "pipeline": make_pipeline(StandardScaler(), RandomForestClassifier(5)),
    "own": Own(5),
}
for name, model in models.items():
    model.fit(features, labels)
    try:
        mlflow.sklearn.save_model(model, f"{sys.argv[1]}/{name}", pip_requirements=["scikit-learn"])
        back = mlflow.sklearn.load_model(f"{sys.argv[1]}/{name}")
        same = name == "density" or (back.predict(features) == model.predict(features)).all()
        print(name, "saved" if same else "differs")
    except mlflow.MlflowException as error:
        print(name, "refused", "Own" if "Own" in str(error) else "")
"""


@pytest.mark.server  # needs no server, but scikit-learn, which the quick environments lack
@pytest.mark.parametrize(
    ("variable", "outcome"),
    [("", "refused"), ("false", "refused"), ("true", "saved")],
)
def test_the_environment_decides(variable: str, outcome: str, tmp_path: Path) -> None:
    environment = {**os.environ, "MLFLOW_UTILS_TRUST_SKLEARN": variable}
    done = subprocess.run([sys.executable, "-c", SAVE, str(tmp_path)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = dict(line.strip().split(maxsplit=1) for line in done.stdout.splitlines())
    assert told == {**dict.fromkeys(["forest", "boosting", "process", "density", "pipeline"], outcome), "own": "refused Own"}
