# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The workflow that lookups share: take the options, open a client, look up each term, and fail with one sentence."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from ansible.errors import AnsibleLookupError, AnsibleRequiredOptionError
from ansible.plugins.lookup import LookupBase

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow import connection
from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.rest import RestClient
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused, check

#: Finds one term: takes the client, the term and the lookup's options.
Finder = Callable[[RestClient, str, dict[str, Any]], dict[str, Any]]


def look_up(
    plugin: LookupBase, terms: Sequence[Any], variables: Mapping[str, Any] | None, options: dict[str, Any], find: Finder
) -> list[dict[str, Any]]:
    """Return what ``find`` returns for each of ``terms``, over one connection. Raises AnsibleLookupError."""
    params = _options(plugin, variables or {}, options)
    try:
        check({**{name: {} for name in (*params, "_terms")}, **connection.argument_spec()}, {**params, "_terms": list(terms)})
        with closing(connection.client(params)) as client:
            return [find(client, str(term), params) for term in terms]
    except (InvalidOption, Refused, ServerError) as error:
        raise AnsibleLookupError(str(error)) from None


def _options(plugin: LookupBase, variables: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the plugin's options: as given, or from variables, the environment or the defaults."""
    names = [name for name in (f"mlflow_{option}" for option in connection.argument_spec()) if name in variables]
    templar = plugin._templar
    # Ansible does not template variables that set an option.
    found = {name: templar.template(variables[name]) if templar else variables[name] for name in names}
    try:
        plugin.set_options(var_options=found, direct=options)
        params: dict[str, Any] = plugin.get_options()
    except AnsibleRequiredOptionError as error:
        missing = re.search(r"'(\w+)'", str(error))
        option = missing[1] if missing else "an option"
        source = f", or set the variable mlflow_{option} or the environment variable that the documentation names" if option == "tracking_uri" else ""
        raise AnsibleLookupError(f"{option}: is required but not given; give it to the lookup{source}") from None
    return params
