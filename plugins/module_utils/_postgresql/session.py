# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""A session on a PostgreSQL server with psycopg2, opened on first use, with one hierarchy of errors.

psycopg2 is imported on first use, so that nothing else needs it.
"""
from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import (
    Conflict,
    MissingLibrary,
    NotPermitted,
    ServerError,
    Unreachable,
    Unsupported,
)

#: The oldest supported server.
OLDEST = 12
#: The application name of sessions in pg_stat_activity.
APPLICATION = "mlops.mlflow"

#: SQLSTATEs of a write that conflicts with another (docs/current/errcodes-appendix.html).
_CONFLICTS = frozenset(
    {
        "23505",  # unique_violation: two sessions created the same role or database
        "2BP01",  # dependent_objects_still_exist
        "3D000",  # invalid_catalog_name: dropped meanwhile
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "42704",  # undefined_object: a role dropped meanwhile
        "42710",  # duplicate_object
        "42P04",  # duplicate_database
        "55006",  # object_in_use
    }
)
#: Their SQLSTATE is internal_error, so they are recognized by their text, which elog() does not translate (docs/current/error-style-guide.html).
_CONCURRENT = ("tuple concurrently updated", "tuple concurrently deleted", "could not find tuple for", "cache lookup failed for")
#: Rejections after successful authentication (src/backend/utils/init/postinit.c).
_AFTER_AUTHENTICATION = ("permission denied for database", "is not permitted to log in", "too many connections", "remaining connection slots")

#: Messages of libpq and the server for failed connections, with the error and the remedy.
_FAILED_CONNECTIONS: tuple[tuple[str, type[ServerError], str], ...] = (
    ("could not translate host name", Unreachable, "check login_host: the name does not resolve"),
    ("certificate verify failed", Unreachable, "the server's TLS certificate is not trusted: give the CA that signed it as ca_cert"),
    ("root certificate file", Unreachable, "give as ca_cert a PEM file with the CA that signed the server's certificate"),
    ("does not match host name", Unreachable, "give as login_host a name in the server's certificate, or use ssl_mode verify-ca"),
    ("server does not support SSL", Unsupported, "turn TLS on in the server, or choose a weaker ssl_mode such as prefer"),
    ("password authentication failed", NotPermitted, "check login_user and login_password"),
    ("no password supplied", NotPermitted, "give login_password"),
    ("authentication failed", NotPermitted, "check login_user, and its authentication method in pg_hba.conf"),
    ("no encryption", NotPermitted, "pg_hba.conf may require TLS: set ssl_mode to require or stronger, or add a line for this host"),
    ("no pg_hba.conf entry", NotPermitted, "add a line for this host, user and database to the server's pg_hba.conf"),
    ("permission denied for database", NotPermitted, "give as login_db a database that login_user may connect to"),
    ("not permitted to log in", NotPermitted, "give as login_user a role that has LOGIN"),
    ('role "" does not exist', NotPermitted, "check login_user"),
    ('database "" does not exist', Unreachable, "check login_db"),
    ("too many", Unreachable, "raise max_connections, or terminate idle sessions"),
    ("remaining connection slots", Unreachable, "raise max_connections, or terminate idle sessions"),
    ("the database system is", Unreachable, "wait until the server accepts connections"),
)

#: Precedes statements that look up names, so that no object or policy of a database's owner runs with the privileges of the login user.
#: The settings end with the transaction, because a pooler such as PgBouncer then reuses the session.
_GUARD = "SET LOCAL search_path = ''; SET LOCAL row_security = off; "

#: Text that libpq puts around the reason, redundant with the login options.
_LIBPQ_FRAME = re.compile(
    r'connection to server (at|on socket) "[^"]*"( \([^)]*\))?(, port \d+)? failed: (FATAL: )?|\n\tIs the server running [^?]*\?'
)


@dataclass(frozen=True)
class Login:
    """How to reach a server. ``host`` is a name, an address, or the directory of a Unix socket; ``timeout`` is in seconds."""

    host: str
    port: int
    user: str
    password: str | None = field(default=None, repr=False)
    database: str = "postgres"
    ssl_mode: str = "prefer"
    ca_cert: str | None = None
    timeout: int = 10

    def __str__(self) -> str:
        return f"PostgreSQL at {self.host}:{self.port}"


@dataclass(frozen=True)
class Rights:
    """Server-wide privileges of the login user."""

    superuser: bool
    create_database: bool
    create_role: bool


class Server:
    """One session in one database. Each statement is its own transaction, unless ``transaction`` is used."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self._connection: Any = None
        self._rights: Rights | None = None

    @property
    def version(self) -> int:
        """The server's major version."""
        return int(self._connected().server_version) // 10000

    @property
    def rights(self) -> Rights:
        """The privileges of the login user."""
        if self._rights is None:
            ((superuser, database, role),) = self.rows("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user")
            self._rights = Rights(superuser, superuser or database, superuser or role)
        return self._rights

    def rows(self, query: Any, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query, with ``parameters`` for ``%s``; without any, it is sent unchanged."""
        with self._mapped("read the catalogue"), self._connected().cursor() as cursor:
            # Statements sent together are one transaction (docs/current/protocol-flow.html, "Multiple Statements in a Simple Query").
            cursor.execute(_GUARD + query if isinstance(query, str) else sql(_GUARD) + query, parameters)
            return list(cursor.fetchall())

    def run(self, what: str, statement: Any) -> None:
        """Run one statement outside of a transaction that looks up no names in schemas; ``what`` describes it in messages."""
        with self._mapped(what), self._connected().cursor() as cursor:
            cursor.execute(statement)

    def transaction(self, what: str, statements: Iterable[Any]) -> None:
        """Run all of ``statements``, or none."""
        statements = list(statements)
        if not statements:
            return
        connection = self._connected()
        with self._mapped(what):
            connection.autocommit = False
            try:
                with connection, connection.cursor() as cursor:
                    for statement in (_GUARD, *statements):
                        cursor.execute(statement)
            finally:
                if not connection.closed:
                    connection.autocommit = True

    @contextmanager
    def beside(self, database: str) -> Iterator[Server]:
        """A second session in ``database``, closed at the end of the block."""
        server = Server(replace(self.login, database=database))
        try:
            yield server
        finally:
            server.close()

    def verifier_of(self, password: str, role: str) -> str:
        """Return what to send as the password of ``role``, so that the password itself is not in statements and server logs.

        https://www.psycopg.org/docs/extensions.html#psycopg2.extensions.encrypt_password
        """
        extensions = _import("psycopg2.extensions")
        return str(extensions.encrypt_password(password, role, scope=self._connected(), algorithm="scram-sha-256"))

    def accepts(self, user: str, password: str) -> bool | None:
        """Whether ``user`` can log in with ``password``; None if that cannot be told, as with an authentication method without passwords."""
        psycopg2 = _import("psycopg2")
        try:
            connection = _open(replace(self.login, user=user, password=password))
        except psycopg2.OperationalError as error:
            text = str(error)
            if "password authentication failed" in text:
                return False
            return True if any(words in text for words in _AFTER_AUTHENTICATION) else None
        try:
            return True if connection.info.used_password else None
        finally:
            connection.close()

    def close(self) -> None:
        """End the session; the next statement opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Any:
        if self._connection is not None:
            return self._connection
        psycopg2 = _import("psycopg2")
        try:
            connection = _open(self.login)
        except (psycopg2.Error, UnicodeError, ValueError) as error:
            raise connection_failure(self.login, str(error)) from None
        require_version(self.login, connection.server_version)
        connection.autocommit = True
        self._connection = connection
        return connection

    @contextmanager
    def _mapped(self, what: str) -> Iterator[None]:
        psycopg2 = _import("psycopg2")
        try:
            yield
        except psycopg2.Error as error:
            closed = self._connection is not None and self._connection.closed
            if closed:
                self._connection = None
            raise statement_failure(self.login, what, error.pgcode, _words(error), bool(closed)) from None


def sql(template: str, **parts: Any) -> Any:
    """Return ``template`` with each ``{part}`` inserted as an identifier; see ``literal`` for constants."""
    composer = _import("psycopg2.sql")
    return composer.SQL(template).format(**{key: composer.Identifier(part) if isinstance(part, str) else part for key, part in parts.items()})


def literal(value: Any) -> Any:
    """Return ``value`` as a part for ``sql``, quoted as a constant."""
    return _import("psycopg2.sql").Literal(value)


def words(*keywords: str) -> Any:
    """Return SQL keywords as a part for ``sql``, separated by commas; never for user input."""
    return _import("psycopg2.sql").SQL(", ".join(keywords))


def require_version(login: Login, server_version: int) -> None:
    """Raise Unsupported for a server older than ``OLDEST``; ``server_version`` is libpq's, such as 150004 for 15.4."""
    if server_version < OLDEST * 10000:
        major, rest = divmod(server_version, 10000)
        version = f"{major}" if major >= 10 else f"{major}.{rest // 100}"
        raise Unsupported(f"{login} has version {version}, and this module needs {OLDEST} or later; upgrade the server")


def connection_failure(login: Login, text: str) -> ServerError:
    """Return the error for a failed connection, by libpq's message."""
    said = " ".join(_LIBPQ_FRAME.sub(" ", text).split())
    # Quoted parts are names, which say nothing about the failure.
    plain = re.sub(r'"[^"]*"', '""', said)
    known = ((kind, remedy) for phrase, kind, remedy in _FAILED_CONNECTIONS if phrase in plain)
    kind, remedy = next(known, (Unreachable, "check login_host and login_port, and that the host where the module runs can reach the server"))
    return kind(f"{login}, login_user {login.user!r}, login_db {login.database!r}, ssl_mode {login.ssl_mode}: no connection: {said}; {remedy}")


def statement_failure(login: Login, what: str, code: str | None, said: str, closed: bool = False) -> ServerError:
    """Return the error for a failed statement, by its SQLSTATE ``code``."""
    message = f"{login}: cannot {what}: {said}"
    if code in _CONFLICTS or closed or said.startswith(_CONCURRENT):
        return Conflict(message)
    if code == "42501":  # insufficient_privilege
        return NotPermitted(f"{message}; login_user {login.user!r} lacks a right for this: log in as a role that has it, or as a superuser")
    if code == "25006":  # read_only_sql_transaction
        return Unsupported(f"{message}; give as login_host the primary server, with default_transaction_read_only off")
    return ServerError(message)


def _open(login: Login) -> Any:
    return _import("psycopg2").connect(
        host=login.host,
        port=login.port,
        user=login.user,
        password=login.password,
        dbname=login.database,
        sslmode=login.ssl_mode,
        sslrootcert=login.ca_cert,
        connect_timeout=login.timeout,
        client_encoding="UTF8",
        application_name=APPLICATION,
    )


def _words(error: Any) -> str:
    """Return the message of the server or psycopg2 with the server's detail, which names the privilege or the object."""
    said = error.diag.message_primary or str(error) or type(error).__name__
    detail = " ".join((error.diag.message_detail or "").split())
    return " ".join(said.split()) + (f" ({detail[:300].rstrip('.')})" if detail else "")


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibrary("psycopg2", str(error)) from None
