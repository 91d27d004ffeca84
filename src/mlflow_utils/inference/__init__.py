"""The parts of the inference tracker, from a record to its delivery; ``mlflow_utils.inference_tracker`` puts them together."""
