"""``python -m mlflow_utils.cli``."""
from mlflow_utils.cli import main

main()
