#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declare a realm of Keycloak with its groups, clients and users."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: keycloak_realm
short_description: Declare a realm of Keycloak with its groups, clients and users
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Brings a realm of Keycloak to what is declared, by the administration API, in one process. For the role keycloak of this collection.
  - What is not declared is left alone, such as other clients and users, and settings that are not named.
  - Secrets of clients are compared with those that Keycloak has. Passwords cannot be read, and are only set for users who are new.
extends_documentation_fragment:
  - mlops.mlflow.attributes
attributes:
  diff_mode:
    description: RV(actions) names what changes, without values, some of which are secret.
    support: none
options:
  url:
    description: Keycloak's URL, with the host name that is in its certificate.
    type: str
    required: true
  address:
    description: The address to connect to, if the host name of O(url) is in no DNS of this host.
    type: str
    default: ""
  ca:
    description: The PEM text of the authority of the certificate. Empty for the well-known ones.
    type: str
    default: ""
  username:
    description: An administrator in Keycloak's realm C(master).
    type: str
    required: true
  password:
    description: The administrator's password.
    type: str
    required: true
  realm:
    description: The name of the realm.
    type: str
    required: true
  settings:
    description: The fields of the realm to set, as in the administration API.
    type: dict
    default: {}
  groups:
    description: The groups that exist. Members who are declared below are in exactly those of them that their entry names.
    type: list
    elements: str
    default: []
  clients:
    description: The clients that exist.
    type: list
    elements: dict
    default: []
    suboptions:
      client_id:
        description: The client's ID.
        type: str
        required: true
      secret:
        description: The client's secret.
        type: str
        required: true
      settings:
        description: Further fields, as in the administration API. C(protocolMappers) lists all that the client has of its own.
        type: dict
        default: {}
      groups:
        description: The groups of its service account, if it has one.
        type: list
        elements: str
  users:
    description: The users that exist.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name to log in with.
        type: str
        required: true
      password:
        description: The password of a user who is new.
        type: str
        required: true
      temporary_password:
        description: Whether the user has to choose another password at the first login.
        type: bool
        default: true
      settings:
        description: Further fields, as in the administration API.
        type: dict
        default: {}
      groups:
        description: The user's groups.
        type: list
        elements: str
        default: []
  absent_clients:
    description: The IDs of clients that do not exist.
    type: list
    elements: str
    default: []
  absent_users:
    description: The names of users who do not exist.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Declare a realm with a group and a client
  mlops.mlflow.keycloak_realm:
    url: https://keycloak.example.com
    username: admin
    password: "{{ vault_keycloak_password }}"
    realm: mlflow
    groups: [data-science]
    clients:
      - client_id: training
        secret: "{{ vault_training_secret }}"
        settings: {serviceAccountsEnabled: true, publicClient: false}
        groups: [data-science]
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [create realm mlflow, create group data-science, create client training, add service account training to group data-science]
"""

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._keycloak.adapter import Realm, Server

TEXTS = {"type": "list", "elements": "str"}


def main() -> None:
    """Run the module."""
    module = _module.Module(
        argument_spec={
            "url": {"type": "str", "required": True},
            "address": {"type": "str", "default": ""},
            "ca": {"type": "str", "default": ""},
            "username": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "realm": {"type": "str", "required": True},
            "settings": {"type": "dict", "default": {}},
            "groups": {**TEXTS, "default": []},
            "clients": {"type": "list", "elements": "dict", "default": [], "options": {
                "client_id": {"type": "str", "required": True},
                "secret": {"type": "str", "required": True, "no_log": True},
                "settings": {"type": "dict", "default": {}},
                "groups": TEXTS,
            }},
            "users": {"type": "list", "elements": "dict", "default": [], "options": {
                "name": {"type": "str", "required": True},
                "password": {"type": "str", "required": True, "no_log": True},
                "temporary_password": {"type": "bool", "default": True, "no_log": False},
                "settings": {"type": "dict", "default": {}},
                "groups": {**TEXTS, "default": []},
            }},
            "absent_clients": {**TEXTS, "default": []},
            "absent_users": {**TEXTS, "default": []},
        },
        supports_check_mode=True,
    )  # fmt: skip
    params = module.params
    with _module.errors_as_failures(module):
        server = Server(params["url"], params["address"], params["ca"], params["username"], params["password"])
        realm, managed = Realm(server, params["realm"], not module.check_mode), params["groups"]
        realm.declare(params["settings"], managed)
        for each in params["clients"]:
            realm.client(each["client_id"], each["settings"], each["secret"], each["groups"], managed)
        for each in params["users"]:
            password = {"type": "password", "value": each["password"], "temporary": each["temporary_password"]}
            realm.user(each["name"], each["settings"], password, each["groups"], managed)
        realm.without(params["absent_clients"], params["absent_users"])
        module.exit_json(changed=bool(realm.actions), actions=realm.actions)


if __name__ == "__main__":
    main()
