"""An Airflow DAG that registers the best model of an experiment."""
from airflow.sdk import dag, task


@dag(dag_id="register_best", schedule=None)
def register_best() -> None:
    """Find the best run, then register its model."""

    @task
    def best_run() -> str:
        import mlflow  # noqa: PLC0415 - the scheduler reads this file often, and mlflow takes two seconds

        runs = mlflow.search_runs(experiment_names=["banking-risk-model"], order_by=["metrics.accuracy DESC"], max_results=1)
        return str(runs.run_id[0])

    @task
    def register(best: str) -> str:
        import mlflow  # noqa: PLC0415 - as above

        return str(mlflow.register_model(f"runs:/{best}/model", "airflow-banking-risk").version)

    register(best_run())


register_best()
