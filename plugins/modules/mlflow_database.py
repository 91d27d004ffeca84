#!/usr/bin/python
# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage the PostgreSQL databases of an MLflow tracking server, and the role that owns them."""
from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_database
short_description: Manage the PostgreSQL databases of an MLflow tracking server
version_added: 1.0.0
author: The mlops.mlflow maintainers (@mlops-mlflow)
description:
  - Creates, changes and drops the database that MLflow keeps its metadata in, the role that owns it, and, where asked for, a second
    database for MLflow's basic authentication.
  - The databases are closed to everyone else. V(PUBLIC) loses C(CONNECT) and C(TEMPORARY) on them and C(CREATE) on their schema C(public),
    in which the owner can create.
  - Tables are MLflow's own matter. C(mlflow db upgrade) creates them; this module returns the Alembic revision that they are at.
extends_documentation_fragment:
  - mlops.mlflow.postgresql
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description:
      - The name of the database for tracking and the model registry. It takes any characters, 63 bytes at most.
      - The server's own databases V(postgres), V(template0) and V(template1) are refused.
    type: str
    required: true
  auth_database:
    description:
      - The name of a second database, for the users and permissions of MLflow's basic authentication, with the same owner.
      - If left out, there is none, and one that exists is left alone.
    type: str
  owner:
    description:
      - The role that owns the databases, and that MLflow logs in as. If left out, it has the same name as the database.
      - A role that does not exist is created, with the right to log in and no other. One that exists keeps the rights that it has, and is
        refused where it is a superuser, unless it is O(login_user) itself.
      - If another role owns the database so far, the database changes hands; tables in it do not, which is a matter of C(REASSIGN OWNED).
    type: str
  owner_password:
    description:
      - The password of O(owner), which may then log in. If left out, it is not managed.
      - It is compared with the one that the role has, and changed where they differ. The server is sent a SCRAM-SHA-256 verifier, so that
        the password is in no log of it.
      - Where O(login_user) may not read C(pg_authid), the module compares by logging in as O(owner). Where the server asks no password from
        it then, as with the authentication method C(trust), the password is written on each run, which counts as a change.
    type: str
  encoding:
    description:
      - The encoding, which cannot be changed once a database exists. If left out, a new database gets V(UTF8).
      - One that the server's default locale does not allow is refused by the server.
    type: str
  connection_limit:
    description:
      - How many sessions may be open in each of the databases at once, V(-1) for no limit. Superusers are not counted.
      - If left out, a new database has no limit, and that of an existing one stays as it is.
    type: int
  grants:
    description:
      - Further roles, which have to exist, each with the list of privileges that it is to have on database O(name). These are V(CONNECT),
        V(CREATE) and V(TEMPORARY). An empty list takes all of them away.
      - Roles that are not given keep what they have, unless O(purge_grants) is true.
      - They hold for the database alone, not for its tables, and never for O(auth_database), which holds password hashes.
    type: dict
  purge_grants:
    description: Whether roles that O(grants) does not name lose their privileges on both databases.
    type: bool
    default: false
  state:
    description:
      - With V(present), role and databases exist as described.
      - With V(absent), the databases do not. One that holds tables, or in which others have sessions open, needs O(force). The role stays,
        unless O(remove_owner) is true.
    type: str
    choices: [present, absent]
    default: present
  force:
    description: Whether O(state=absent) drops databases that hold tables, and ends the sessions that are open in them.
    type: bool
    default: false
  remove_owner:
    description:
      - Whether O(state=absent) drops O(owner) too. A role that owns, or has rights on, anything but these databases is refused, even with
        O(force), and so is a superuser.
    type: bool
    default: false
notes:
  - A O(login_user) that is no superuser needs C(CREATEDB), and C(CREATEROLE) to manage the role. It becomes a member of O(owner), as
    PostgreSQL wants of one who gives a database to another role. Up to PostgreSQL 14, creating a database takes a superuser.
  - Where O(login_user) may not connect to a database, what is inside of it is returned as null and not managed.
seealso:
  - module: community.postgresql.postgresql_db
  - name: MLflow's backend stores
    description: What MLflow keeps in a database, and how it is told which.
    link: https://mlflow.org/docs/latest/self-hosting/architecture/backend-store/
"""

EXAMPLES = r"""
- name: A database for MLflow, owned by a role of the same name
  mlops.mlflow.mlflow_database:
    login_host: 127.0.0.1
    login_password: "{{ postgres_admin_password }}"
    name: mlflow
    owner_password: "{{ mlflow_database_password }}"

- name: One for basic authentication too, and a reader for dashboards
  mlops.mlflow.mlflow_database:
    login_host: 127.0.0.1
    login_password: "{{ postgres_admin_password }}"
    name: mlflow
    auth_database: mlflow_auth
    owner_password: "{{ mlflow_database_password }}"
    connection_limit: 60
    grants:
      grafana: [CONNECT]
  register: mlflow_databases

- name: Say at which revision the tables are
  ansible.builtin.debug:
    var: mlflow_databases.database.alembic_revisions.mlflow

- name: Drop everything, whatever it holds and whoever uses it
  mlops.mlflow.mlflow_database:
    login_host: 127.0.0.1
    login_password: "{{ postgres_admin_password }}"
    name: mlflow
    auth_database: mlflow_auth
    state: absent
    force: true
    remove_owner: true
"""

RETURN = r"""
database:
  description: The database as it is now, or as it would be outside check mode. Empty where it does not exist.
  returned: success
  type: dict
  contains: &database
    name:
      description: The database's name.
      type: str
      sample: mlflow
    owner:
      description: The role that owns it.
      type: str
      sample: mlflow
    encoding:
      description: Its encoding.
      type: str
      sample: UTF8
    connection_limit:
      description: How many sessions may be open at once, -1 for no limit.
      type: int
      sample: 60
    grants:
      description: Each role but the owner that has privileges on the database, with a sorted list of them.
      type: dict
      sample: {grafana: [CONNECT]}
    public_privileges:
      description: What everyone may do with the database, and whether everyone may create in its schema C(public). Empty once managed.
      type: list
      elements: str
      sample: []
    owner_can_create:
      description: Whether the owner may create tables in schema C(public); null where O(login_user) may not look.
      type: bool
      sample: true
    alembic_revisions:
      description: The revisions that MLflow's schemas are at, each null where there is no such schema, or O(login_user) may not look.
      type: dict
      contains:
        mlflow:
          description: Revision of the tracking schema, from C(alembic_version).
          type: str
          sample: 1bd49d398cd23
        auth:
          description: Revision of the authentication schema, from C(alembic_version_auth).
          type: str
          sample: 8606fa83a998
      sample: {mlflow: 1bd49d398cd23, auth: null}
    sessions:
      description: How many sessions of others are open in the database.
      type: int
      sample: 4
    tables:
      description: How many tables the database holds; null where O(login_user) may not look.
      type: int
      sample: 45
    size:
      description: The database's size in bytes; null where O(login_user) may not look.
      type: int
      sample: 9912847
auth_database:
  description: The database of O(auth_database), with the same keys as RV(database). Empty where it does not exist, or is not asked for.
  returned: success
  type: dict
  contains: *database
role:
  description: The owner as it is now, or as it would be outside check mode. Empty where it does not exist.
  returned: success
  type: dict
  contains:
    name:
      description: The role's name.
      type: str
      sample: mlflow
    login:
      description: Whether it may log in.
      type: bool
      sample: true
    superuser:
      description: Whether it is a superuser.
      type: bool
      sample: false
    create_database:
      description: Whether it may create databases.
      type: bool
      sample: false
    create_role:
      description: Whether it may create roles.
      type: bool
      sample: false
    replication:
      description: Whether it may replicate the whole server.
      type: bool
      sample: false
    password:
      description:
        - How its password compares with O(owner_password). V(set) if that is the one, V(differs), V(none), or V(unknown) where this
          cannot be told.
      returned: if O(owner_password) is given
      type: str
      sample: set
    used_by:
      description: What the role owns, or has rights on, beside the databases of this task.
      type: list
      elements: str
      sample: ["12 objects in database 'sales'"]
actions:
  description: What was done, or would be done outside check mode, a line each.
  returned: success
  type: list
  elements: str
  sample: [create role mlflow, create database mlflow]
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mlops.mlflow.plugins.module_utils import _module, _postgresql
from ansible_collections.mlops.mlflow.plugins.module_utils._adapters.database import Database, Role, Secret
from ansible_collections.mlops.mlflow.plugins.module_utils._core import database as core
from ansible_collections.mlops.mlflow.plugins.module_utils._core.verifier import password_matches
from ansible_collections.mlops.mlflow.plugins.module_utils._ports import Step


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=_postgresql.argument_spec(
            name={"type": "str", "required": True},
            auth_database={"type": "str"},
            owner={"type": "str"},
            owner_password={"type": "str", "no_log": True},
            encoding={"type": "str"},
            connection_limit={"type": "int"},
            grants={"type": "dict"},
            purge_grants={"type": "bool", "default": False},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            force={"type": "bool", "default": False},
            remove_owner={"type": "bool", "default": False},
        ),
        supports_check_mode=True,
    )
    params = module.params
    with _module.errors_as_failures(module):
        core.check_options(params)
        server, owner, password = _postgresql.server(params), core.owner(params), core.declared_password(params)
        secret = None if password is None else Secret(password, partial(password_matches, owner, password))
        role = Role(server, owner, secret, apart=core.databases(params))
        steps = {"role": Step("role", owner, role, partial(core.desired_role, params))}
        for key, name in zip(("database", "auth_database"), core.databases(params)):
            steps[key] = Step("database", name, Database(server, name, params["force"]), partial(core.desired_database, params, name=name))
        keys = core.order(params)
        result, states = _module.reconcile(module, [steps[key] for key in keys])
        module.exit_json(**{"auth_database": {}, **dict(zip(keys, states))}, **result)


if __name__ == "__main__":
    main()
