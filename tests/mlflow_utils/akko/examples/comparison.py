"""The runs of an experiment, best first."""
import mlflow

runs = mlflow.search_runs(experiment_names=["banking-risk-model"], order_by=["metrics.accuracy DESC"], max_results=10)
print(runs[["params.algorithm", "metrics.accuracy", "metrics.f1_score"]])
