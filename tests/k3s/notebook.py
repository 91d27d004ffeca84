"""The akko text's notebook, as it stands there, against the server that MLFLOW_TRACKING_URI names.

Its last line of output is JSON: what the tests look at.
"""
from __future__ import annotations

import json

import mlflow
from sklearn.linear_model import LogisticRegression

model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])

mlflow.set_experiment("banking-risk-model")
with mlflow.start_run() as run:
    mlflow.log_param("algorithm", "random_forest")
    mlflow.log_param("n_estimators", 100)
    mlflow.log_metric("accuracy", 0.94)
    mlflow.log_metric("f1_score", 0.91)
    logged = mlflow.sklearn.log_model(model, "model", pip_requirements=["scikit-learn"])

runs = mlflow.search_runs(experiment_names=["banking-risk-model"], order_by=["metrics.accuracy DESC"], max_results=10)
best = runs[["run_id", "params.algorithm", "metrics.accuracy", "metrics.f1_score"]].iloc[0]

result = mlflow.register_model(model_uri=f"runs:/{run.info.run_id}/model", name="banking-risk-classifier")
client = mlflow.tracking.MlflowClient()
client.transition_model_version_stage(name="banking-risk-classifier", version=result.version, stage="Production")
version = client.get_model_version("banking-risk-classifier", result.version)
loaded = mlflow.sklearn.load_model(f"models:/banking-risk-classifier/{result.version}")

print(json.dumps({
    "run_id": run.info.run_id,
    "model_id": logged.model_id,
    "accuracy": str(client.get_run(run.info.run_id).data.metrics["accuracy"]),
    "best": best["run_id"],
    "stage": version.current_stage,
    "predicted": "ok" if list(loaded.predict([[0.0], [3.0]])) == [0, 1] else "wrong",
}))
