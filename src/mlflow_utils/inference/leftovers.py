"""What trackers leave behind: records in a spool, and runs."""
from __future__ import annotations

import threading
import time
from pathlib import Path

from .._rest import Api, Refused, Unavailable
from ..client import Client, Settings, load_settings
from .delivery import Sender, Stopped


class Delivered(int):
    """The number of records that `deliver_spool` has delivered.

    ``refused`` counts those that MLflow will never accept, which are set aside in the spool, and ``left`` the sessions that stay there, since they
    cannot be read or the user may not write to their experiment.
    """

    refused: int
    left: int

    def __new__(cls, records: int, refused: int, left: int) -> Delivered:
        """Make the number of records delivered, with what was not."""
        made = super().__new__(cls, records)
        made.refused, made.left = refused, left
        return made


def deliver_spool(spool: Path | str, settings: Settings | Client | None = None, timeout: float = 60.0) -> Delivered:
    """Deliver what ended processes left in ``spool``, and give the number of records delivered; for a service that will not start again.

    What is refused, and sessions that stay, are counted in what is returned; see `Delivered`. Sessions of running processes are left to them.
    Raises `SettingsError`, and TimeoutError where ``timeout`` seconds were not enough.
    """
    found = settings.settings if isinstance(settings, Client) else settings or load_settings()
    sender = Sender(found, threading.Condition())
    clock = threading.Timer(timeout, sender.stop)
    clock.daemon = True
    clock.start()
    try:
        left = sender.leftovers(Path(spool))
    except Stopped:
        raise TimeoutError(f"{found.tracking_uri} did not take all of {spool} within {timeout:g} s: {sender.last_error}") from None
    finally:
        clock.cancel()
        sender.close()
    return Delivered(sender.earlier.delivered, sender.earlier.refused, left)


def delete_old_runs(experiment: str, days: float, settings: Settings | Client | None = None) -> int:
    """Delete the runs of trackers in ``experiment`` that ended more than ``days`` ago, and give their number.

    MLflow keeps what is deleted until ``mlflow gc`` runs on the server. Runs that still run are left, and so is what no tracker made.
    Raises `SettingsError`, and ``ConnectionError`` where the server does not answer or refuses it.
    """
    if not days > 0:
        raise ValueError(f"days is {days}; it must be above 0")
    api = Api(settings.settings if isinstance(settings, Client) else settings or load_settings())
    try:
        return api.delete_runs(experiment, int((time.time() - days * 86_400) * 1000))
    except (Unavailable, Refused) as error:
        raise ConnectionError(f"the runs of {experiment!r} are not all deleted: {error}") from None
    finally:
        api.close()
