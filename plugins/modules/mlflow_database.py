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
  - Creates, changes and drops the database that MLflow keeps its metadata in, the role that owns it, and, optionally, a second
    database for MLflow's basic authentication.
  - Only the owner has access to the databases. C(CONNECT) and C(TEMPORARY) on them and C(CREATE) on their schema C(public) are revoked
    from V(PUBLIC); the owner can create objects in that schema.
  - MLflow manages its tables itself. C(mlflow db upgrade) creates them; this module returns their Alembic revision.
extends_documentation_fragment:
  - mlops.mlflow.postgresql
  - mlops.mlflow.attributes
  - mlops.mlflow.attributes.action_group
options:
  name:
    description:
      - The name of the database for tracking and the model registry, of any characters and at most 63 bytes.
      - The server's own databases V(postgres), V(template0) and V(template1) are rejected.
    type: str
    required: true
  auth_database:
    description:
      - The name of a second database, for the users and permissions of MLflow's basic authentication, with the same owner.
      - If not given, none is created, and an existing one is left alone.
    type: str
  owner:
    description:
      - The role that owns the databases, and that MLflow logs in as. Defaults to the name of the database.
      - A missing role is created with C(LOGIN) and no other attribute. An existing role keeps its attributes; a superuser is rejected
        unless it is O(login_user) itself.
      - If another role owns the database, its ownership is changed; that of its tables is not, for which there is C(REASSIGN OWNED).
    type: str
  owner_password:
    description:
      - The password of O(owner), which also gets C(LOGIN). If not given, the password is not managed.
      - It is compared with the role's current password, and changed if they differ. Only a SCRAM-SHA-256 verifier is sent to the server, so
        the password does not appear in its logs. A value that looks like such a verifier, or like an MD5 digest, is rejected.
      - A password stored as an MD5 digest is set again, because it does not work with SCRAM authentication.
      - If O(login_user) may not read C(pg_authid), the module compares by logging in as O(owner). If the server then asks for no password,
        as with the authentication method C(trust), the password is set on each run, which is reported as a change.
    type: str
  encoding:
    description:
      - The encoding, which cannot be changed once a database exists. If not given, a new database gets V(UTF8).
      - The server rejects an encoding that does not match its default locale.
    type: str
  connection_limit:
    description:
      - How many concurrent sessions each of the databases allows, V(-1) for no limit. Superusers are not counted.
      - If not given, a new database has no limit, and that of an existing one is left unchanged.
    type: int
  grants:
    description:
      - Other roles, which must exist, each with the list of its privileges on database O(name), of V(CONNECT), V(CREATE) and
        V(TEMPORARY). An empty list revokes all of them.
      - Roles that are not listed keep their privileges, unless O(purge_grants) is true.
      - The privileges apply only to the database, not to its tables, and never to O(auth_database), which holds password hashes.
    type: dict
  purge_grants:
    description: Whether to revoke the privileges on both databases from roles that O(grants) does not list.
    type: bool
    default: false
  create:
    description:
      - Whether a missing database may be created. With V(false), a missing database is an error, raised before anything is changed. Use this
        when the database existed before, and an empty one in its place would hide that its data is lost.
    type: bool
    default: true
  state:
    description:
      - With V(present), the role and the databases exist as described.
      - With V(absent), the databases do not exist. Dropping one that has tables or open sessions of others needs O(force). The role is kept
        unless O(remove_owner) is true.
    type: str
    choices: [present, absent]
    default: present
  force:
    description: Whether O(state=absent) drops databases that have tables, and terminates open sessions.
    type: bool
    default: false
  remove_owner:
    description:
      - Whether O(state=absent) also drops O(owner). A superuser, or a role that owns or has privileges on anything else, is never dropped,
        even with O(force); the module fails instead.
    type: bool
    default: false
notes:
  - If O(login_user) is not a superuser, it needs C(CREATEDB), and C(CREATEROLE) to manage the role. It becomes a member of O(owner), which
    PostgreSQL requires for giving a database to another role. Up to PostgreSQL 14, creating a database needs a superuser.
  - If O(login_user) may not connect to a database, its contents are returned as null and not managed.
seealso:
  - module: community.postgresql.postgresql_db
  - name: MLflow's backend stores
    description: What MLflow stores in a database, and how to configure it.
    link: https://mlflow.org/docs/latest/self-hosting/architecture/backend-store/
"""

EXAMPLES = r"""
- name: Create a database for MLflow, owned by a role of the same name
  mlops.mlflow.mlflow_database:
    login_host: 127.0.0.1
    login_password: "{{ postgres_admin_password }}"
    name: mlflow
    owner_password: "{{ mlflow_database_password }}"

- name: Create one for basic authentication too, and let Grafana connect
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

- name: Show the schema revision of the tables
  ansible.builtin.debug:
    var: mlflow_databases.database.alembic_revisions.mlflow

- name: Drop databases and role, even if they have data or open sessions
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
  description: The database as it is now, or, in check mode, as it would be. Empty if it does not exist.
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
      description: How many concurrent sessions are allowed, -1 for no limit.
      type: int
      sample: 60
    grants:
      description: The roles other than the owner that have privileges on the database, each with a sorted list of them.
      type: dict
      sample: {grafana: [CONNECT]}
    public_privileges:
      description: The privileges of C(PUBLIC) on the database and on its schema C(public). Empty once managed.
      type: list
      elements: str
      sample: []
    owner_can_create:
      description: Whether the owner may create tables in schema C(public); null if O(login_user) may not read this.
      type: bool
      sample: true
    alembic_revisions:
      description: The revisions of MLflow's schemas, each null if there is no such schema, or O(login_user) may not read it.
      type: dict
      contains:
        mlflow:
          description: The revision of the tracking schema, from C(alembic_version).
          type: str
          sample: 1bd49d398cd23
        auth:
          description: The revision of the authentication schema, from C(alembic_version_auth).
          type: str
          sample: 8606fa83a998
      sample: {mlflow: 1bd49d398cd23, auth: null}
    sessions:
      description: The number of sessions that others have open in the database.
      type: int
      sample: 4
    tables:
      description: The number of tables in the database; null if O(login_user) may not read this.
      type: int
      sample: 45
    size:
      description: The database's size in bytes; null if O(login_user) may not read this.
      type: int
      sample: 9912847
auth_database:
  description: The database O(auth_database), with the same keys as RV(database). Empty if it does not exist or is not requested.
  returned: success
  type: dict
  contains: *database
role:
  description: The owner as it is now, or, in check mode, as it would be. Empty if it does not exist.
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
      description: Whether it may start streaming replication.
      type: bool
      sample: false
    password:
      description:
        - How its password compares with O(owner_password). V(set) if they are the same and the role can log in; V(differs), also if the
          password is stored as an MD5 digest; V(none); or V(unknown) if they cannot be compared.
      returned: if O(owner_password) is given
      type: str
      sample: set
    used_by:
      description: What the role owns, or has privileges on, besides the databases of this task.
      type: list
      elements: str
      sample: ["12 objects in database 'sales'"]
actions:
  description: What was done, or in check mode would be done, one line per action.
  returned: success
  type: list
  elements: str
  sample: [create role mlflow, create database mlflow]
"""

from functools import partial

from ansible_collections.mlops.mlflow.plugins.module_utils import _module
from ansible_collections.mlops.mlflow.plugins.module_utils._postgresql import connection
from ansible_collections.mlops.mlflow.plugins.module_utils._postgresql.database import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._postgresql.database.adapter import Database, Role, Secret
from ansible_collections.mlops.mlflow.plugins.module_utils._postgresql.scram import password_matches
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import Step


def main() -> None:
    """Run the module."""
    module = _module.Module(
        argument_spec=connection.argument_spec(
            name={"type": "str", "required": True},
            auth_database={"type": "str"},
            owner={"type": "str"},
            owner_password={"type": "str", "no_log": True},
            encoding={"type": "str"},
            connection_limit={"type": "int"},
            grants={"type": "dict"},
            purge_grants={"type": "bool", "default": False},
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            create={"type": "bool", "default": True},
            force={"type": "bool", "default": False},
            remove_owner={"type": "bool", "default": False},
        ),
        supports_check_mode=True,
    )
    params = module.params
    with _module.errors_as_failures(module):
        rules.check_options(params)
        server, owner, password = connection.server(params), rules.owner(params), rules.declared_password(params)
        secret = None if password is None else Secret(password, partial(password_matches, owner, password))
        role = Role(server, owner, secret, apart=rules.databases(params))
        steps = {"role": Step("role", owner, role, partial(rules.desired_role, params))}
        for key, name in zip(("database", "auth_database"), rules.databases(params)):
            steps[key] = Step("database", name, Database(server, name, params["force"]), partial(rules.desired_database, params, name=name))
        keys = rules.order(params)
        result, states = _module.reconcile(module, [steps[key] for key in keys])
        module.exit_json(**{"auth_database": {}, **dict(zip(keys, states))}, **result)


if __name__ == "__main__":
    main()
