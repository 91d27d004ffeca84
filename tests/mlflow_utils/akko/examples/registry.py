"""Register the model of the run that the command line names, and take it into production."""
import sys

import mlflow

result = mlflow.register_model(model_uri=f"runs:/{sys.argv[1]}/model", name="banking-risk-classifier")
client = mlflow.tracking.MlflowClient()
client.transition_model_version_stage(name="banking-risk-classifier", version=result.version, stage="Production")
