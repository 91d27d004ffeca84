"""An Airflow DAG whose task logs what an ETL run found."""
from airflow.sdk import dag, task


@dag(dag_id="etl_quality", schedule=None)
def etl_quality() -> None:
    """One task."""

    @task
    def log_quality() -> None:
        import mlflow  # noqa: PLC0415 - the scheduler reads this file often, and mlflow takes two seconds

        mlflow.set_experiment("airflow-etl-quality")
        with mlflow.start_run(run_name="daily-etl"):
            mlflow.log_metric("rows_processed", 125000)
            mlflow.log_metric("data_quality_score", 0.98)

    log_quality()


etl_quality()
