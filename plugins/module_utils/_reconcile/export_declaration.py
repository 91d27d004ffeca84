# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A live server as a declaration."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import NotPermitted, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile import declaration
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Kind, Kinds
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.workers import SharedListings, Workers, results


def export_declaration(params: Mapping[str, Any], kinds: Kinds, workers: Workers) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """Return the live server as a declaration, and what it does not contain. Without ``kinds``, unsupported kinds are left out.

    Raises NotPermitted, naming the remaining kinds, if some may not be listed.
    """
    wanted = [kinds[section] for section in (kinds if params["kinds"] is None else params["kinds"])]
    found = results(workers.run(partial(_entries, params, SharedListings()), wanted))
    _refuse_denied(wanted, found)
    listed = {kind.section: result for kind, result in zip(wanted, found) if isinstance(result, tuple)}
    sections = {section: entries for section, (entries, _dropped) in listed.items()}
    exported = {
        section: kind.exported(sections[section], sections, params["portable"]) if kind.exported else sections[section]
        for section, kind in kinds.items()
        if section in sections
    }
    dropped = {section: names for section, (_entries, names) in listed.items()}
    return {section: exported[section] for section in sections if exported[section]}, declaration.left_out(kinds.values(), sections, dropped)


def _entries(
    params: Mapping[str, Any], listings: SharedListings, client: Any, kind: Kind
) -> tuple[list[dict[str, Any]], list[str]] | NotPermitted | None:
    """Return the entries of a kind, and the names of what cannot be declared; None for a kind that the server does not know."""
    try:
        states = kind.listed(client, listings)
    except Unsupported:
        if params["kinds"]:
            raise
        return None
    except NotPermitted as error:
        return error
    entries, dropped = [], []
    for state in states:
        entry = kind.rules.declared(state)
        if entry is None or (params["portable"] and not kind.portable(state)):
            dropped.append(kind.named(state))
        else:
            entries.append(entry)
    # Those that repeat stay in their order.
    return sorted(entries, key=lambda entry: kind.rules.identity(entry)[: 1 if kind.repeats else None]), sorted(dropped)


def _refuse_denied(kinds: Sequence[Kind], found: Sequence[object]) -> None:
    denied = {kind.section: result for kind, result in zip(kinds, found) if isinstance(result, NotPermitted)}
    if denied and len(denied) < len(kinds):
        left = ", ".join(kind.section for kind, result in zip(kinds, found) if isinstance(result, tuple))
        raise NotPermitted(f"kinds: these credentials may not list {', '.join(denied)}; set kinds: [{left}], or connect as an administrator")
    for error in denied.values():
        raise error
