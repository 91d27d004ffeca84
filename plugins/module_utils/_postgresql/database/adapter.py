# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""Roles and databases by PostgreSQL's catalogues and statements (https://www.postgresql.org/docs/current/sql-commands.html)."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import NotPermitted, ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._postgresql.database.rules import check_encoding
from ansible_collections.mlops.mlflow.plugins.module_utils._postgresql.session import APPLICATION, Server, literal, sql, words
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, Change, Plan, State

#: Since this version, schema public belongs to the database's owner, and others may not create objects in it (docs/15/release-15.html).
_SCHEMA_IS_OWNERS = 15
#: Since this version, DROP DATABASE can terminate sessions itself (docs/13/sql-dropdatabase.html).
_DROP_FORCE = 13
#: Since this version, memberships have the options INHERIT and SET (docs/16/sql-grant.html).
_MEMBERSHIP_OPTIONS = 16
#: The prefix of the verifiers that are written here, which work with both methods in pg_hba.conf, including md5.
_SCRAM = "SCRAM-SHA-256$"

_READ_ROLE = """
SELECT r.rolcanlogin, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolreplication,
       has_column_privilege('pg_authid', 'rolpassword', 'SELECT')
FROM pg_roles r WHERE r.rolname = %s
"""
_READ_USES = """
SELECT CASE WHEN s.dbid = 0 THEN pg_describe_object(s.classid, s.objid, s.objsubid) ELSE NULL END, d.datname, count(*)
FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = %(role)s) AND s.deptype <> 'p'
  AND s.dbid NOT IN (SELECT oid FROM pg_database WHERE datname = ANY (%(apart)s))
  AND NOT (s.classid = 'pg_database'::regclass AND s.objid IN (SELECT oid FROM pg_database WHERE datname = ANY (%(apart)s)))
GROUP BY 1, 2 ORDER BY 2, 1
"""
_READ_DATABASE = """
SELECT pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datconnlimit,
       d.datallowconn AND d.datconnlimit <> -2 AND has_database_privilege(d.oid, 'CONNECT'),
       (SELECT count(*) FROM pg_stat_activity a
        WHERE a.datid = d.oid AND a.usesysid IS NOT NULL AND a.application_name <> %s)
FROM pg_database d WHERE d.datname = %s
"""
# What has its columns since some version alone is read by its name.
_READ_TEMPLATE = """
SELECT pg_encoding_to_char(d.encoding), d.datctype, to_jsonb(d) ->> 'datlocprovider',
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')
FROM pg_database d WHERE d.datname = 'template0'
"""
_READ_GRANTS = """
SELECT CASE WHEN a.grantee = 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END, a.privilege_type
FROM pg_database d CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
WHERE d.datname = %s AND a.grantee <> d.datdba AND (a.grantee = 0 OR a.grantee IN (SELECT oid FROM pg_roles))
"""
_READ_INSIDE = """
SELECT pg_database_size(current_database()),
       (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%')
"""
_READ_SCHEMA = """
SELECT has_schema_privilege(%s, n.oid, 'CREATE'),
       EXISTS (SELECT FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a WHERE a.grantee = 0 AND a.privilege_type = 'CREATE')
FROM pg_namespace n WHERE n.nspname = 'public'
"""
# Only ordinary tables: a view of that name could run its owner's functions with the privileges of the login user.
_FIND_REVISIONS = """
SELECT DISTINCT ON (c.relname) c.relname, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname IN ('alembic_version', 'alembic_version_auth') AND c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT')
ORDER BY c.relname, n.nspname <> 'public', n.nspname
"""
_CREATE_IN_PUBLIC = "CREATE ON SCHEMA public"
#: Keys of the state whose change may leave schema public owned by another role.
_ABOUT_SCHEMA = ("owner", "owner_can_create", "public_privileges")


@dataclass(frozen=True)
class Secret:
    """A role's desired password, and whether the server's verifier was derived from it."""

    password: str
    matches: Callable[[str], bool]

    def __repr__(self) -> str:
        return "Secret(…)"


class Role:
    """One role, identified by its name. Privileges on the databases in ``apart`` do not count as use."""

    immutable: frozenset[str] = frozenset()
    read_only = frozenset({"used_by"})

    def __init__(self, server: Server, name: str, secret: Secret | None = None, apart: Sequence[str] = ()) -> None:
        self._server = server
        self._name = name
        self._secret = secret
        self._apart = list(apart)
        self._password_written = False

    def read(self) -> State | None:
        """Return the role's attributes, whether its password is the desired one, and what else uses it, or None."""
        rows = self._server.rows(_READ_ROLE, (self._name,))
        if not rows:
            return None
        login, superuser, create_database, create_role, replication, verifiers_readable = rows[0]
        state: State = {
            "name": self._name,
            "login": login,
            "superuser": superuser,
            "create_database": create_database,
            "create_role": create_role,
            "replication": replication,
            "used_by": self._used_by(),
        }
        if self._secret is not None:
            state["password"] = self._password(self._secret, verifiers_readable)
        return state

    def check(self, plan: Plan) -> None:
        """Raise NotPermitted if the login user may not manage roles."""
        if not self._server.rights.create_role:
            raise NotPermitted(
                f"{self._server.login}: cannot {plan.action} role {self._name!r}: login_user {self._server.login.user!r} lacks "
                "CREATEROLE; grant it, or log in as a superuser"
            )

    def apply(self, plan: Plan) -> None:
        """Create, change or drop, each in one statement."""
        what = f"{'change' if plan.action == 'update' else plan.action} role {self._name!r}"
        if plan.action == "delete":
            self._server.run(what, sql("DROP ROLE {role}", role=self._name))
            return
        password = plan.change_of("password")
        clause = sql(" PASSWORD {verifier}", verifier=self._verifier()) if password else sql("")
        if plan.action == "create":
            statement = "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION{password}"
        elif plan.change_of("login"):
            statement = "ALTER ROLE {role} LOGIN{password}"
        else:
            statement = "ALTER ROLE {role}{password}"
        self._server.run(what, sql(statement, role=self._name, password=clause))
        self._password_written = password is not None

    def _password(self, secret: Secret, verifiers_readable: bool) -> str:
        if verifiers_readable:
            ((verifier,),) = self._server.rows("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (self._name,))
            if verifier is None:
                return "none"
            # A password stored as an MD5 digest does not work with SCRAM authentication.
            return "set" if verifier.startswith(_SCRAM) and secret.matches(verifier) else "differs"
        if self._password_written:
            return "set"
        accepted = self._server.accepts(self._name, secret.password)
        return "unknown" if accepted is None else "set" if accepted else "differs"

    def _verifier(self) -> Any:
        return literal(self._server.verifier_of(self._secret.password if self._secret else "", self._name))

    def _used_by(self) -> list[str]:
        uses = self._server.rows(_READ_USES, {"role": self._name, "apart": self._apart})
        return [shared if shared else f"{number} object{'' if number == 1 else 's'} in database {database!r}" for shared, database, number in uses]


class Database:
    """One database, identified by its name. With ``force``, its sessions are terminated when it is dropped."""

    immutable = frozenset({"encoding"})
    read_only = frozenset({"alembic_revisions", "sessions", "size", "tables"})

    def __init__(self, server: Server, name: str, force: bool = False) -> None:
        self._server = server
        self._name = name
        self._force = force

    def read(self) -> State | None:
        """Return the database's settings, its privileges, and its contents if the login user may read them, or None."""
        outside = self._outside()
        if outside is None:
            return None
        state, may_connect = outside
        if may_connect:
            try:
                with self._server.beside(self._name) as inside:
                    return {**state, **self._inside(inside, state["owner"], state["public_privileges"])}
            except ServerError:
                # pg_hba.conf rejects the login user, or another session has dropped the database meanwhile.
                outside = self._outside()
        return None if outside is None else outside[0]

    def check(self, plan: Plan) -> None:
        """Raise NotPermitted if the login user may not create a database as planned, ServerError for a grant to a role that does not exist.

        InvalidOption is raised for an encoding that the server's locale does not have.
        """
        server = self._server
        if plan.action == "create" and not server.rights.create_database:
            raise NotPermitted(
                f"{server.login}: cannot create database {self._name!r}: login_user {server.login.user!r} lacks CREATEDB; "
                "grant it, or log in as a superuser"
            )
        if plan.action == "create" and server.version < _SCHEMA_IS_OWNERS and not server.rights.superuser:
            raise NotPermitted(
                f"{server.login}: cannot create database {self._name!r}: up to PostgreSQL {_SCHEMA_IS_OWNERS - 1} only a superuser can keep "
                f"everyone from creating tables in its schema public, and login_user {server.login.user!r} is none; log in as a superuser, or "
                f"upgrade the server to {_SCHEMA_IS_OWNERS} or later"
            )
        if plan.action == "create":
            (template,) = server.rows(_READ_TEMPLATE)
            check_encoding((plan.after or {})["encoding"], template, str(server.login))
        roles = [change.path[1] for change in plan.changes_under("grants") if change.after is not ABSENT]
        known = {row[0] for row in server.rows("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (roles,))} if roles else set()
        for role in roles:
            if role not in known:
                raise ServerError(f"grants: role {role!r} does not exist on {server.login}; create it first, or leave it out")

    def apply(self, plan: Plan) -> None:
        """Create, change or drop. CREATE and DROP DATABASE run on their own; everything else is one transaction, and one inside the database."""
        before, after = plan.before or {}, plan.after or {}
        for owner in {state["owner"] for state in (before, after) if state}:
            self._join(owner)
        if plan.action == "delete":
            self._drop()
            return
        if plan.action == "create":
            self._create(after)
        self._server.transaction(f"change database {self._name!r}", self._changes(plan))
        from_old_template = plan.action == "create" and self._server.version < _SCHEMA_IS_OWNERS
        if from_old_template or (plan.action == "update" and any(plan.change_of(key) for key in _ABOUT_SCHEMA)):
            self._settle_schema(after["owner"])

    # Reading

    def _outside(self) -> tuple[State, bool] | None:
        """Return what the server's catalogue has, without the contents, and whether the login user may read those."""
        rows = self._server.rows(_READ_DATABASE, (APPLICATION, self._name))
        if not rows:
            return None
        owner, encoding, connection_limit, may_connect, sessions = rows[0]
        grants, public = self._grants()
        state: State = {
            "name": self._name,
            "owner": owner,
            "encoding": encoding,
            "connection_limit": connection_limit,
            "grants": grants,
            "public_privileges": public,
            "owner_can_create": None,
            "sessions": sessions,
            "tables": None,
            "size": None,
            "alembic_revisions": {"mlflow": None, "auth": None},
        }
        return state, may_connect

    def _grants(self) -> tuple[dict[str, list[str]], list[str]]:
        """Return the privileges of other roles and of PUBLIC on the database."""
        grants: dict[str, list[str]] = {}
        public: set[str] = set()
        for role, privilege in self._server.rows(_READ_GRANTS, (self._name,)):
            if role is None:
                public.add(privilege)
            elif privilege not in grants.setdefault(role, []):
                grants[role].append(privilege)
        return {role: sorted(privileges) for role, privileges in sorted(grants.items())}, sorted(public)

    def _inside(self, inside: Server, owner: str, public: list[str]) -> State:
        ((size, tables),) = inside.rows(_READ_INSIDE)
        owner_can_create, public_can_create = self._schema(inside, owner)
        revisions = dict.fromkeys(("mlflow", "auth"))
        for table, schema in inside.rows(_FIND_REVISIONS):
            query = sql("SELECT version_num FROM {schema}.{table} ORDER BY 1", schema=schema, table=table)
            versions = [row[0] for row in inside.rows(query)]
            revisions["mlflow" if table == "alembic_version" else "auth"] = ",".join(versions) or None
        return {
            "size": size,
            "tables": tables,
            "owner_can_create": owner_can_create,
            "public_privileges": public + [_CREATE_IN_PUBLIC] * public_can_create,
            "alembic_revisions": revisions,
        }

    def _schema(self, inside: Server, owner: str) -> tuple[bool, bool]:
        """Whether the owner, and whether everyone, may create objects in schema public, if it exists."""
        rows = inside.rows(_READ_SCHEMA, (owner,))
        return rows[0] if rows else (True, False)

    # Writing

    def _create(self, state: State) -> None:
        # template0: anyone who may create a database may copy it, nobody is ever connected to it, and it allows any encoding
        # (docs/current/manage-ag-templatedbs.html).
        statement = sql(
            "CREATE DATABASE {name} OWNER {owner} TEMPLATE template0 ENCODING {encoding} CONNECTION LIMIT {limit}",
            name=self._name,
            owner=state["owner"],
            encoding=literal(state["encoding"]),
            limit=literal(state["connection_limit"]),
        )
        self._server.run(f"create database {self._name!r}", statement)

    def _changes(self, plan: Plan) -> list[Any]:
        statements = []
        owner, limit = plan.change_of("owner"), plan.change_of("connection_limit")
        if plan.action == "update" and owner:
            statements.append(sql("ALTER DATABASE {name} OWNER TO {owner}", name=self._name, owner=owner.after))
        if plan.action == "update" and limit:
            statements.append(sql("ALTER DATABASE {name} CONNECTION LIMIT {limit}", name=self._name, limit=literal(limit.after)))
        if plan.change_of("public_privileges"):
            statements.append(sql("REVOKE ALL ON DATABASE {name} FROM PUBLIC", name=self._name))
        for change in plan.changes_under("grants"):
            if change.path[1] != (plan.after or {})["owner"]:
                statements += self._grant(change)
        return statements

    def _grant(self, change: Change) -> list[Any]:
        role = change.path[1]
        before, after = (set() if privileges is ABSENT else set(privileges) for privileges in (change.before, change.after))
        statements = []
        if before - after:
            surplus = words(*sorted(before - after))
            statements.append(sql("REVOKE {privileges} ON DATABASE {name} FROM {role}", privileges=surplus, name=self._name, role=role))
        if after - before:
            missing = words(*sorted(after - before))
            statements.append(sql("GRANT {privileges} ON DATABASE {name} TO {role}", privileges=missing, name=self._name, role=role))
        return statements

    def _settle_schema(self, owner: str) -> None:
        """Let only the owner create objects in schema public, as PostgreSQL 15 does by default."""
        with self._server.beside(self._name) as inside:
            owner_can_create, public_can_create = self._schema(inside, owner)
            statements = []
            if public_can_create:
                statements.append(sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
            if public_can_create or not owner_can_create:
                # Revoking from PUBLIC also affects the owner.
                statements.append(sql("GRANT USAGE, CREATE ON SCHEMA public TO {owner}", owner=owner))
            inside.transaction(f"change schema public of database {self._name!r}", statements)

    def _drop(self) -> None:
        what = f"drop database {self._name!r}"
        if self._force and self._server.version >= _DROP_FORCE:
            self._server.run(what, sql("DROP DATABASE {name} WITH (FORCE)", name=self._name))
            return
        if self._force:
            self._server.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self._name,))
        self._server.run(what, sql("DROP DATABASE {name}", name=self._name))

    def _join(self, owner: str) -> None:
        """Make the login user a member of the owner, which anyone but a superuser needs to assign or change its databases."""
        server = self._server
        if server.rights.superuser:
            return
        able = "pg_has_role(oid, 'USAGE')"
        grant = "GRANT {owner} TO CURRENT_USER"
        if server.version >= _MEMBERSHIP_OPTIONS:
            able += " AND pg_has_role(oid, 'SET')"
            grant += " WITH INHERIT TRUE, SET TRUE"
        if server.rows(f"SELECT {able} FROM pg_roles WHERE rolname = %s", (owner,)) == [(False,)]:
            server.run(f"become a member of role {owner!r}, which managing its databases requires", sql(grant, owner=owner))
