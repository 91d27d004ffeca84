"""``mlflow-utils``, the command of the package. Needs the extra ``cli``.

Exit codes: 0 done; 1 MLflow refused the request, or something else failed; 2 a wrong option, argument or setting; 3 the server does not answer, or
refuses the credentials; 4 no such experiment, run, model or version, or none to roll back to; 5 not promoted, as the version is not better;
130 interrupted. An error is one sentence on stderr.
"""
from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with ``arguments``, those of the process where None, and exit with its code."""
    try:
        from .app import run  # noqa: PLC0415 - typer and rich come with the extra
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(f"mlflow-utils: {error.name} is not installed; install the extra: pip install 'mlflow-utils[cli]'", file=sys.stderr)
        sys.exit(1)
    sys.exit(run(arguments))
