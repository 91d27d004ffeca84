"""The one exception that ends the stand-in with a sentence instead of a traceback."""
from __future__ import annotations


class K3sError(Exception):
    """What went wrong, as a sentence for the log."""
