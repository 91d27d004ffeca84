"""One sentence and an exit code for whatever went wrong."""
from __future__ import annotations

import os
import sys
from enum import IntEnum
from pathlib import Path

import typer

from .._reading import NotFound
from ..client import Client, SettingsError, load_settings
from ..login import LoginError
from ..model_registry import Conflict, RegistryError


class Code(IntEnum):
    """The exit codes; ``mlflow_utils.cli`` says what they mean."""

    FAILED = 1
    USAGE = 2
    NO_ANSWER = 3
    NOT_THERE = 4
    NOT_PROMOTED = 5
    INTERRUPTED = 130


class UsageError(Exception):
    """Options that do not go together. The message is one sentence."""


def explained(error: BaseException, file: Path | None = None) -> tuple[int, str]:
    """The exit code and the sentence for an error; the sentence is empty where there is nobody to read it. ``file`` is the settings file."""
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return Code.INTERRUPTED, "interrupted"
    if isinstance(error, BrokenPipeError):
        # Python flushes stdout once more at the end, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Code.FAILED, ""
    if isinstance(error, (UsageError, SettingsError)) or (isinstance(error, RegistryError) and not isinstance(error, Conflict)):
        return Code.USAGE, str(error)
    if hasattr(error, "format_message"):  # typer's own, whose base class is in click or in typer by its version
        return Code.USAGE, _sentence(error.format_message()) + "; --help shows what there is"
    if isinstance(error, NotFound):
        return Code.NOT_THERE, str(error)
    if isinstance(error, LoginError):
        return Code.NO_ANSWER, str(error)
    return _failure(error, file)


def _failure(error: BaseException, file: Path | None) -> tuple[int, str]:
    if isinstance(error, ModuleNotFoundError) and error.name == "pandas":
        return Code.FAILED, "pandas is not installed; install the extra: pip install 'mlflow-utils[compare]'"
    if isinstance(error, OSError) and error.filename is not None:
        return Code.FAILED, f"{error.filename}: {error.strerror}"
    if not _is_mlflow(error):
        return Code.FAILED, _sentence(str(error)) or type(error).__name__
    return _of_server(error, file)


def _is_mlflow(error: BaseException) -> bool:
    return any(base.__module__ == "mlflow.exceptions" for base in type(error).__mro__)


def _of_server(error: BaseException, file: Path | None) -> tuple[int, str]:
    """What MLflow says where it answers as it should; otherwise what a health check finds, which knows why it does not."""
    code = getattr(error, "error_code", None)
    if code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
        return Code.NOT_THERE, f"MLflow answers: {_said(error)}"
    if code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "PERMISSION_DENIED", "RESOURCE_ALREADY_EXISTS"):
        health = Client(load_settings(file)).health()
        if not health.reachable:
            return Code.NO_ANSWER, health.message
    return Code.FAILED, f"MLflow answers: {_said(error)}"


def _said(error: BaseException) -> str:
    message = _sentence(str(getattr(error, "message", error)))
    return message.removeprefix(f"{getattr(error, 'error_code', '')}: ")


def _sentence(words: str) -> str:
    """The first line, without a full stop."""
    lines = words.strip().splitlines()
    return lines[0].rstrip(". ") if lines else ""
