"""Shared by the unit tests: no test depends on the clock, and Ansible finds the collection's own filters in the checkout."""
from __future__ import annotations

import os
from pathlib import Path

from ansible.plugins.loader import init_plugin_loader
from hypothesis import HealthCheck, settings

settings.register_profile("no-clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no-clock")
# Before anything imports the collection: Ansible finds no plugins of one that was imported without it.
os.environ.setdefault("ANSIBLE_COLLECTIONS_PATH", str(Path(__file__).resolve().parents[2] / "build" / "collections"))
init_plugin_loader()
