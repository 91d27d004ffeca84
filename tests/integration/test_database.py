"""mlflow_database against a real PostgreSQL."""
from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from harness import ModuleRunner, Stack, Table, twelve_steps
from psycopg2 import sql

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import ServerError
from ansible_collections.mlops.mlflow.plugins.module_utils._postgresql.session import Login, Server
from ansible_collections.mlops.mlflow.plugins.module_utils._postgresql.session import sql as guarded

#: Every session of the module is read only, so that a write in check mode fails.
READ_ONLY = {"PGOPTIONS": "-c default_transaction_read_only=on"}
MODULE = "mlflow_database"

Session = psycopg2.extensions.connection
Run = Callable[..., dict[str, Any]]


class Postgres:
    """The server, as its administrator sees it; drops at the end what a test says it made."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.made: list[str] = []

    def session(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> Session:
        login: dict[str, Any] = {"user": user or self.stack.pg_user, "password": password or self.stack.pg_password, "dbname": database}
        session: Session = psycopg2.connect(host=self.stack.pg_host, port=self.stack.pg_port, client_encoding="UTF8", **login)
        session.autocommit = True
        return session

    def run(self, template: str, /, inside: str = "postgres", **names: str) -> None:
        with closing(self.session(inside)) as session, session.cursor() as cursor:
            cursor.execute(sql.SQL(template).format(**{key: sql.Identifier(name) for key, name in names.items()}))

    def value(self, query: str, *parameters: str) -> Any:
        with closing(self.session()) as session, session.cursor() as cursor:
            cursor.execute(query, parameters)
            row = cursor.fetchone()
            return row[0] if row else None

    def may_connect(self, database: str, user: str, password: str) -> bool:
        try:
            self.session(database, user, password).close()
        except psycopg2.OperationalError as error:
            if "authentication failed" in str(error) or "permission denied for database" in str(error):
                return False
            raise
        return True

    def names(self, *names: str) -> tuple[str, ...]:
        """The same names, which are dropped after the test, as databases and as roles."""
        self.made += names
        return names

    def clean(self) -> None:
        for name in self.made:
            self.run("DROP DATABASE IF EXISTS {name} WITH (FORCE)", name=name)
        for name in reversed(self.made):
            if self.value("SELECT 1 FROM pg_roles WHERE rolname = %s", name):
                self.run("DROP OWNED BY {name}; DROP ROLE {name}", name=name)


@pytest.fixture
def postgres(stack: Stack) -> Iterator[Postgres]:
    server = Postgres(stack)
    try:
        yield server
    finally:
        server.clean()


@pytest.fixture
def database(run: ModuleRunner) -> Run:
    """Runs the module, which must succeed."""
    return partial(run.succeed, MODULE)


@pytest.fixture
def failure(run: ModuleRunner) -> Callable[..., str]:
    """Runs the module, which must fail; gives its message."""
    return partial(run.fail, MODULE)


# State

STRANGE = ("quote ' \" percent %s %(x)s {y}", "имя 模型 🤖; DROP TABLE x --", "postgresql://u:p@h/db?a=b")


@pytest.mark.parametrize("names", [("tw_main", "tw_auth", "tw_owner"), STRANGE])
def test_twelve_steps(run: ModuleRunner, postgres: Postgres, names: tuple[str, str, str]) -> None:
    name, auth, owner = postgres.names(*names)
    (reader,) = postgres.names(f"r {names[0]}")
    postgres.run("CREATE ROLE {reader}", reader=reader)
    common = {"name": name, "auth_database": auth, "owner": owner}
    table = Table(
        module=MODULE,
        create={**common, "owner_password": "first-One 1", "connection_limit": 20},
        change={**common, "owner_password": "second-One 2", "connection_limit": -1, "grants": {reader: ["connect", "temp"]}},
        delete={**common, "state": "absent", "remove_owner": True},
        result="database",
    )
    twelve_steps(run, table, READ_ONLY, list)
    assert postgres.value("SELECT count(*) FROM pg_roles WHERE rolname = %s", owner) == 0


def test_state_is_what_the_server_says(database: Run, postgres: Postgres) -> None:
    name, auth, reader, former = postgres.names("st_main", "st_auth", "st_reader", "st_former")
    postgres.run("CREATE ROLE {reader}", reader=reader)
    postgres.run("CREATE ROLE {former}", former=former)
    asked = {"name": name, "auth_database": auth, "owner_password": "s3cret", "grants": {reader: ["TEMP", "connect"]}}
    result = database(**asked)
    assert result["actions"] == [f"create role {name}", f"create database {name}", f"create database {auth}"]
    expected = {"owner": name, "encoding": "UTF8", "connection_limit": -1, "public_privileges": [], "owner_can_create": True}
    for key, grants in (("database", {reader: ["CONNECT", "TEMPORARY"]}), ("auth_database", {})):
        assert result[key].items() >= {**expected, "grants": grants, "tables": 0, "sessions": 0}.items()
    assert result["role"]["password"] == "set"
    assert [result["role"][right] for right in ("login", "superuser", "create_database", "create_role", "replication")] == [True] + [False] * 4

    postgres.run("GRANT CREATE ON DATABASE {name} TO {former}", name=name, former=former)
    kept = database(**asked)
    assert (kept["changed"], kept["database"]["grants"][former]) == (False, ["CREATE"])
    purged = database(**asked, purge_grants=True)
    assert purged["actions"] == [f"update database {name} grants.{former}"]
    assert former not in purged["database"]["grants"]

    handed_over = database(name=name, owner=reader)
    assert handed_over["actions"] == [f"update database {name} grants.{reader}", f"update database {name} owner"]
    assert handed_over["database"].items() >= {"owner": reader, "grants": {}, "owner_can_create": True}.items()
    assert handed_over["role"]["login"] is False, "an owner without a password to set stays as it is"


def test_nothing_is_left_to_public(database: Run, postgres: Postgres) -> None:
    name, stranger = postgres.names("pu_main", "pu_stranger")
    postgres.run("CREATE ROLE {stranger} LOGIN PASSWORD 'stranger'", stranger=stranger)
    # As PostgreSQL 14 and a hasty administrator leave it.
    postgres.run("CREATE DATABASE {name}", name=name)
    postgres.run("GRANT CREATE ON DATABASE {name} TO PUBLIC", name=name)
    postgres.run("GRANT ALL ON SCHEMA public TO PUBLIC; ALTER SCHEMA public OWNER TO CURRENT_USER", inside=name)
    assert postgres.may_connect(name, stranger, "stranger")

    result = database(name=name, owner_password="s3cret")
    assert result["changed"]
    assert result["database"].items() >= {"owner": name, "public_privileges": [], "owner_can_create": True}.items()
    assert not postgres.may_connect(name, stranger, "stranger")
    with closing(postgres.session(name, name, "s3cret")) as session:
        session.cursor().execute("CREATE TABLE t (x int); CREATE SCHEMA s")
    assert not database(name=name, owner_password="s3cret")["changed"]


@pytest.mark.parametrize("password", ["plain ASCII '%", "пароль ﬁ №1 e\u0301"])  # by SASLprep: fi, No, é
def test_a_password_is_rotated_once_and_never_shown(database: Run, postgres: Postgres, password: str) -> None:
    (name,) = postgres.names(f"pw_{len(password)}")
    outputs = []
    for given, changed in (("the-first-one", True), (password, True), (password, False)):
        result = database(name=name, owner_password=given)
        assert result["changed"] is changed, result
        outputs.append(result["_output"])
    assert result["role"]["password"] == "set"
    assert not any(secret in output for secret in ("the-first-one", password) for output in outputs)
    assert not any("SCRAM" in output for output in outputs)
    assert postgres.may_connect(name, name, password)
    assert not postgres.may_connect(name, name, "the-first-one")
    assert not database(name=name)["changed"], "a password that is not given is not managed"


def test_a_password_that_is_kept_as_md5_is_written_anew(database: Run, postgres: Postgres) -> None:
    """The server asks by SCRAM, as all do since version 14, and then lets nobody in with such a one."""
    (name,) = postgres.names("kept as md5")
    with closing(postgres.session()) as session, session.cursor() as cursor:
        cursor.execute("SET password_encryption = md5")
        cursor.execute(sql.SQL("CREATE ROLE {name} LOGIN PASSWORD 'the right one'").format(name=sql.Identifier(name)))
    database(name=name)
    assert not postgres.may_connect(name, name, "the right one")
    result = database(name=name, owner_password="the right one")
    assert (result["actions"], result["role"]["password"]) == ([f"update role {name} password"], "set")
    assert postgres.may_connect(name, name, "the right one")
    assert not database(name=name, owner_password="the right one")["changed"]


def test_a_session_is_left_as_it_was(stack: Stack, postgres: Postgres) -> None:
    """A pooler of transactions, such as PgBouncer, hands the session on to the application after each of them."""
    server = Server(Login(stack.pg_host, stack.pg_port, stack.pg_user, stack.pg_password))
    (name,) = postgres.names("pooled")
    try:
        assert server.rows("SELECT current_setting('search_path'), current_setting('row_security'), %s", ("a %",)) == [("\"\"", "off", "a %")]
        assert server.rows(guarded("SELECT current_setting('search_path')")) == [('""',)]
        server.run("make a role", guarded("CREATE ROLE {name}", name=name))
        server.transaction("change it", [guarded("ALTER ROLE {name} LOGIN", name=name)])
        with pytest.raises(ServerError):
            server.rows("SELECT * FROM nowhere")
        # As the next one sees it, who asks by the same session.
        with server._connected().cursor() as cursor:
            cursor.execute("SELECT current_setting('search_path'), current_setting('row_security'), current_setting('transaction_read_only')")
            assert cursor.fetchall() == [('"$user", public', "on", "off")]
    finally:
        server.close()


def test_revisions_are_those_of_the_tables(database: Run, postgres: Postgres) -> None:
    name, auth = postgres.names("rv_main", "rv_auth")
    asked = {"name": name, "auth_database": auth, "owner_password": "s3cret"}
    assert database(**asked)["database"]["alembic_revisions"] == {"mlflow": None, "auth": None}
    table = "CREATE TABLE alembic_version{suffix} (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version{suffix} VALUES ('{revision}')"
    with closing(postgres.session(name, name, "s3cret")) as session:
        session.cursor().execute(table.format(suffix="", revision="1bd49d398cd23"))
    with closing(postgres.session(auth, name, "s3cret")) as session, session.cursor() as cursor:
        cursor.execute(table.format(suffix="_auth", revision="8606fa83a998"))
        # What a view of that name does would be done with the rights of the administrator.
        cursor.execute("CREATE VIEW alembic_version AS SELECT current_user::text AS version_num")
    result = database(**asked)
    assert not result["changed"]
    assert result["database"]["alembic_revisions"] == {"mlflow": "1bd49d398cd23", "auth": None}
    assert result["auth_database"]["alembic_revisions"] == {"mlflow": None, "auth": "8606fa83a998"}


# Guards


def test_dropping_tables_and_ending_sessions_needs_force(database: Run, failure: Callable[..., str], postgres: Postgres) -> None:
    (name,) = postgres.names("fo_main")
    database(name=name, owner_password="s3cret")
    with closing(postgres.session(name, name, "s3cret")) as session, session.cursor() as cursor:
        cursor.execute("CREATE TABLE t (x int)")
        message = failure(name=name, state="absent", check=True)
        assert message == failure(name=name, state="absent")
        assert f"database '{name}' has 1 table, which would be lost, and has 1 open session of others; set force: true" in message
        cursor.execute("SELECT count(*) FROM t")
        result = database(name=name, state="absent", force=True)
        assert result["actions"] == [f"delete database {name}"]
        assert (result["database"], result["role"]["name"]) == ({}, name)
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")


def test_an_owner_in_use_is_kept(failure: Callable[..., str], postgres: Postgres) -> None:
    name, other = postgres.names("us_main", "us_other")
    postgres.run("CREATE ROLE {name}", name=name)
    for owned in (name, other):
        postgres.run("CREATE DATABASE {owned} OWNER {name}", owned=owned, name=name)
    message = failure(name=name, state="absent", remove_owner=True)
    assert f"remove_owner: role '{name}' owns" in message
    assert other in message
    assert "leave remove_owner out" in message
    assert postgres.value("SELECT 1 FROM pg_database WHERE datname = %s", name), "nothing is half done"


def test_what_cannot_be_changed(database: Run, failure: Callable[..., str], postgres: Postgres) -> None:
    name, root = postgres.names("im_main", "im_root")
    postgres.run("CREATE ROLE {root} SUPERUSER", root=root)
    database(name=name, owner=postgres.stack.pg_user)
    assert "encoding: cannot be changed from 'UTF8' to 'LATIN1'" in failure(name=name, owner=postgres.stack.pg_user, encoding="latin1")
    assert f"owner: '{root}' is a superuser" in failure(name=name, owner=root)
    new = postgres.names("im_new")[0]
    message = failure(name=new, owner=new, owner_password="p", encoding="latin1")
    assert "encoding: 'LATIN1' does not match the locale 'C.UTF-8', which " in message
    assert "leave it out" in message
    assert not postgres.value("SELECT 1 FROM pg_roles WHERE rolname = %s", new), "nothing is half done"
    assert "grants: role 'im_nobody' does not exist" in failure(name=name, owner=postgres.stack.pg_user, grants={"im_nobody": ["CONNECT"]})


# Administrators


def test_an_administrator_who_is_no_superuser(database: Run, failure: Callable[..., str], postgres: Postgres) -> None:
    if int(postgres.value("SELECT current_setting('server_version_num')")) < 150000:
        pytest.skip("only a superuser closes schema public of a new database up to PostgreSQL 14")
    admin, name, auth = postgres.names("ns_admin", "ns_main", "ns_auth")
    postgres.run("CREATE ROLE {admin} LOGIN CREATEDB PASSWORD 'adm1n'", admin=admin)
    asked = {"login_user": admin, "login_password": "adm1n", "name": name, "auth_database": auth}
    assert "lacks CREATEROLE" in failure(**asked, owner_password="first", check=True)
    postgres.run("ALTER ROLE {admin} NOCREATEDB CREATEROLE", admin=admin)
    assert "lacks CREATEDB" in failure(**asked, owner_password="first")
    assert not postgres.value("SELECT 1 FROM pg_roles WHERE rolname = %s", name), "nothing is half done"

    postgres.run("ALTER ROLE {admin} CREATEDB", admin=admin)
    for password, changed in (("first", True), ("second", True), ("second", False)):
        result = database(**asked, owner_password=password)
        assert result["changed"] is changed, result
        assert result["role"]["password"] == "set"
        assert result["database"]["owner_can_create"] is True
    assert postgres.may_connect(auth, name, "second")
    assert not postgres.may_connect(auth, name, "first")
    gone = database(**asked, state="absent", remove_owner=True)
    assert gone["actions"] == [f"delete database {auth}", f"delete database {name}", f"delete role {name}"]


def test_what_the_login_user_may_not_see_is_null(database: Run, failure: Callable[..., str], postgres: Postgres) -> None:
    name, guest = postgres.names("gu_main", "gu_guest")
    postgres.run("CREATE ROLE {guest} LOGIN PASSWORD 'v1sitor'", guest=guest)
    database(name=name)
    asked = {"login_user": guest, "login_password": "v1sitor", "name": name}
    result = database(**asked)
    assert not result["changed"]
    assert (result["database"]["tables"], result["database"]["alembic_revisions"]) == (None, {"mlflow": None, "auth": None})
    assert "cannot be inspected, so what would be lost is not known" in failure(**asked, state="absent")
    message = failure(**asked, connection_limit=3)
    assert f"login_user '{guest}' lacks a right" in message


def test_two_at_once(run: ModuleRunner, postgres: Postgres) -> None:
    name, auth = postgres.names("co_main", "co_auth")
    present = {"name": name, "auth_database": auth, "owner_password": "s3cret", "connection_limit": 9}
    absent = {"name": name, "auth_database": auth, "state": "absent", "remove_owner": True}
    for args in (present, absent):
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda _worker, args=args: run(MODULE, args), range(2)))
        assert not any(result.get("failed") for result in results), results
        assert any(result["changed"] for result in results)
        assert results[0]["database"] == results[1]["database"]


# Servers that cannot be used


def test_a_server_that_cannot_be_used(failure: Callable[..., str], postgres: Postgres) -> None:
    wrong = failure(name="bad", login_password="not-the-one")
    assert "password authentication failed" in wrong
    assert "check login_user and login_password" in wrong
    assert "not-the-one" not in wrong
    assert "check login_host and login_port" in failure(name="bad", login_port=1)
    assert "the name does not resolve" in failure(name="bad", login_host="no-such-host.invalid")
    assert "check login_db" in failure(name="bad", login_db="no such database")


def test_bad_options_fail_before_the_server_is_asked(failure: Callable[..., str]) -> None:
    nowhere = {"login_port": 1}
    assert failure(**nowhere, name="template1").startswith("name: 'template1' belongs to the server itself; give MLflow")
    assert failure(**nowhere, name="x" * 64).startswith("name: 'xxxxxxxxxxxxxxxxxxxx…' is 64 bytes long")
    assert failure(name="x", login_port=0).startswith("login_port: 0 is not a port number; give 1 to 65535")


def test_psycopg2_is_missing(stack: Stack, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = ModuleRunner(replace(stack, python=str(tmp_path / "bare" / "bin" / "python")))
    result = bare(MODULE, {"name": "bad"})
    assert result.get("failed")
    assert "Failed to import the required Python library (psycopg2)" in result["msg"]


@contextmanager
def pretender(answer: Callable[[socket.socket], None], tls: bytes = b"N") -> Iterator[int]:
    """A server that says ``tls`` to a request for TLS and ``answer`` to all else; gives its port.

    The messages are those of https://www.postgresql.org/docs/current/protocol-message-formats.html.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _address = listener.accept()
            except OSError:
                return
            with closing(peer):
                try:
                    (length,) = struct.unpack("!i", peer.recv(4))
                    while length == 8:  # a request for TLS or GSSAPI, before the login itself
                        tls_wanted = struct.unpack("!i", peer.recv(4)) == (80877103,)
                        peer.sendall(tls if tls_wanted else b"N")
                        if tls_wanted and tls == b"S":
                            break
                        (length,) = struct.unpack("!i", peer.recv(4))
                    else:
                        peer.recv(length)
                    answer(peer)
                except (OSError, struct.error):
                    pass  # the client has heard enough

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def packet(kind: bytes, *texts: str) -> bytes:
    body = b"".join(text.encode() + b"\0" for text in texts)
    return kind + struct.pack("!i", len(body) + 4) + body


def test_tls_is_refused_or_not_trusted(failure: Callable[..., str], postgres: Postgres, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=x"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    # Any other certificate is an authority that did not sign this one.
    other = tmp_path / "ca.pem"
    subprocess.run([*command, "-keyout", tmp_path / "other.pem", "-out", other], check=True, capture_output=True)

    with pretender(lambda peer: context.wrap_socket(peer, server_side=True).close(), tls=b"S") as port:
        untrusted = failure(name="bad", login_host="127.0.0.1", login_port=port, ssl_mode="verify-ca", ca_cert=str(other))
        assert "TLS certificate is not trusted: give the CA that signed it as ca_cert" in untrusted
    with pretender(lambda peer: None) as port:
        plain = failure(name="bad", login_host="127.0.0.1", login_port=port, ssl_mode="require")
        assert "turn TLS on in the server, or choose a weaker ssl_mode" in plain
    error = ("SFATAL", "C28000", 'Mno pg_hba.conf entry for host "127.0.0.1", user "postgres", database "postgres", no encryption', "")
    with pretender(lambda peer: peer.sendall(packet(b"E", *error))) as port:
        assert "set ssl_mode to require" in failure(name="bad", login_host="127.0.0.1", login_port=port)


def test_a_server_too_old(failure: Callable[..., str]) -> None:
    settings = {"server_version": "9.6.24", "client_encoding": "UTF8", "DateStyle": "ISO, MDY", "standard_conforming_strings": "on"}
    hello = b"R\0\0\0\x08\0\0\0\0" + b"".join(packet(b"S", key, value) for key, value in settings.items()) + b"Z\0\0\0\x05I"
    with pretender(lambda peer: peer.sendall(hello)) as port:
        said = failure(name="bad", login_host="127.0.0.1", login_port=port)
    assert "has version 9.6, and this module needs 12 or later; upgrade the server" in said
