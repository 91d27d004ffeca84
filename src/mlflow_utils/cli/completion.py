"""Names for a shell's Tab key: at once and without a word, or none. MLflow's client would take two seconds to be imported alone."""
from __future__ import annotations

import threading
from typing import Any, Final

from .._rest import Api
from ..client import load_settings

#: Seconds for the server's answer; with the start of Python the shell waits one. The name of a host that is not there may take much longer to look up
#: than any time-out of HTTP says.
PATIENCE: Final = 0.5
PATHS: Final = {"experiments": "experiments/search", "registered_models": "registered-models/search"}


def names(kind: str, incomplete: str) -> list[str]:
    """The names of ``experiments`` or ``registered_models`` that begin so; those that were read within `PATIENCE`."""
    found: list[str] = []
    asking = threading.Thread(target=_read, args=(kind, incomplete, found), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return list(found)


def _read(kind: str, incomplete: str, found: list[str]) -> None:
    try:
        api = Api(load_settings().model_copy(update={"timeout": PATIENCE}))
        query: dict[str, str] = {"max_results": "1000"}
        while True:
            page: dict[str, Any] = api._call("GET", PATHS[kind], query=query)
            names = [entry["name"] for entry in page.get(kind, []) if not _is_prompt(entry)]
            found += [name for name in names if name.startswith(incomplete)]
            if not page.get("next_page_token"):
                return
            query["page_token"] = page["next_page_token"]
    except Exception:  # a shell has no place for an error
        return


def _is_prompt(entry: dict[str, Any]) -> bool:
    return any(tag.get("key") == "mlflow.prompt.is_prompt" for tag in entry.get("tags", []))
