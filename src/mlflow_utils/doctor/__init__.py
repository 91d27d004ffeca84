"""What keeps a client from working with its MLflow server: checks in the order in which one needs another, each with one cause and one remedy.

`diagnose` asks; `mlflow_utils.doctor.rules` judges what it found. Nothing is written to the server.
"""
from __future__ import annotations

from ._diagnosis import Diagnosis, diagnose
from .findings import Finding, Status

__all__ = ["Diagnosis", "Finding", "Status", "diagnose"]
