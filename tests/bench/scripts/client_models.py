"""Make registered models with tags, a version and two aliases each, as a script on MLflow's own client does: client_models.py COUNT."""
import logging
import sys

from mlflow import MlflowClient

logging.disable()
client = MlflowClient()
for number in range(int(sys.argv[1])):
    name = f"client-{number:05d}"
    client.create_registered_model(name, tags={"team": "risk", "tier": str(number % 3)})
    version = client.create_model_version(name, f"s3://bench/{number}")
    for alias in ("champion", "challenger"):
        client.set_registered_model_alias(name, alias, version.version)
print(number)
