"""The pure core of mlflow_database, and how its adapter reads PostgreSQL's errors."""
from __future__ import annotations

from typing import Any

import psycopg2.extensions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Conflict, NotPermitted, ServerError, Unreachable, Unsupported
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._postgresql import session
from ansible_collections.mlops.mlflow.plugins.module_utils._postgresql.database import rules
from ansible_collections.mlops.mlflow.plugins.module_utils._postgresql.scram import password_matches
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, make_plan

LOGIN = session.Login("db.example.com", 5432, "admin", "hunter2")


def options(**given: Any) -> dict[str, Any]:
    return {"name": "mlflow", "state": "present", "login_user": "postgres", "login_password": "adm1n", "login_db": "postgres", **given}


def state(**given: Any) -> dict[str, Any]:
    whole = {"name": "mlflow", "owner": "mlflow", "encoding": "UTF8", "connection_limit": -1, "grants": {}, "public_privileges": []}
    inside = {"owner_can_create": True, "tables": 0, "sessions": 0, "size": 1, "alembic_revisions": {"mlflow": None, "auth": None}}
    return {**whole, **inside, **given}


# Options

BAD_OPTIONS = [
    ({"name": ""}, "name: '' is empty; give 1 to 63 bytes"),
    ({"name": "n" * 64}, "name: 'nnnnnnnnnnnnnnnnnnnn…' is 64 bytes long in UTF-8; PostgreSQL truncates names to 63"),
    ({"name": "模" * 22}, "is 66 bytes long in UTF-8"),
    ({"name": "a\0b"}, "name: 'a\\x00b' contains a NUL character"),
    ({"name": "a\ud800"}, "is not valid Unicode"),
    ({"name": "postgres"}, "name: 'postgres' belongs to the server itself"),
    ({"auth_database": "template0"}, "auth_database: 'template0' belongs to the server itself"),
    ({"auth_database": "mlflow"}, "auth_database: 'mlflow' is the same as name"),
    ({"auth_database": ""}, "auth_database: '' is empty; give 1 to 63 bytes, or leave it out"),
    ({"owner": "pg_read_all_data"}, "owner: 'pg_read_all_data' is a name that PostgreSQL reserves"),
    ({"name": "public"}, "owner: 'public' is a name that PostgreSQL reserves"),
    ({"owner": "postgres", "owner_password": "other"}, "owner: 'postgres' is login_user"),
    ({"owner": "postgres", "state": "absent", "remove_owner": True}, "owner: 'postgres' is login_user, which cannot drop itself"),
    ({"owner_password": ""}, "owner_password: '' is empty"),
    ({"owner_password": "SCRAM-SHA-256$4096:W22Z==$WG5d=:wfPL="}, "owner_password: '…' is a stored form of a password"),
    ({"owner_password": "SCRAM-SHA-256$4096:abc"}, "owner_password: '…' is a stored form of a password"),
    ({"owner_password": "md5" + "0f" * 16}, "owner_password: '…' is a stored form of a password"),
    ({"connection_limit": 2**31}, "connection_limit: 2147483648 is not a valid number of connections"),
    ({"owner_password": "pa\0ss"}, "owner_password: '…' contains a character that PostgreSQL cannot store"),
    ({"owner_password": "pa\ud800ss"}, "owner_password: '…' contains a character that PostgreSQL cannot store"),
    ({"encoding": "UTF16"}, "encoding: 'UTF16' is not an encoding that a PostgreSQL database can have; give UTF8"),
    ({"encoding": "SJIS"}, "encoding: 'SJIS' is not an encoding"),
    ({"connection_limit": -2}, "connection_limit: -2 is not a valid number of connections; give 0 to 2147483647, or -1"),
    ({"grants": {"bi": ["SELECT"]}}, "grants: 'bi: SELECT' is not a database privilege; use CONNECT, CREATE and TEMPORARY"),
    ({"grants": {"bi": "CONNECT"}}, "grants: 'bi: CONNECT' is not a list of privileges; give a list such as [CONNECT]"),
    ({"grants": {"PUBLIC": ["CONNECT"]}}, "grants: 'PUBLIC' stands for every role"),
    ({"grants": {"mlflow": ["CONNECT"]}}, "grants: 'mlflow' is the owner"),
    ({"grants": {"": ["CONNECT"]}}, "grants: '' is empty"),
    ({"state": "absent", "login_db": "mlflow"}, "login_db: 'mlflow' is to be dropped"),
]


@pytest.mark.parametrize(("given_options", "message"), BAD_OPTIONS)
def test_a_bad_option_gives_one_sentence_with_the_remedy(given_options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        rules.check_options(options(**given_options))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["n" * 63, "模" * 21, "a b", "qu'o\"te", "%s {x}", "🤖", "postgresql://h?x=1", "-", "Postgres", " ", "\n"])
def test_any_other_name_is_taken(name: str) -> None:
    rules.check_options(options(name=name, auth_database=name[:-3] + "2", grants={"r" + name[1:]: ["CONNECT"]}))


def test_the_login_user_may_own_the_database_and_keep_its_password() -> None:
    rules.check_options(options(owner="postgres"))
    rules.check_options(options(owner="postgres", owner_password="adm1n"))
    assert rules.desired_role(options(owner="postgres"), {"name": "postgres", "login": True, "superuser": True}) == {"name": "postgres"}


# Roles


def test_a_new_role_may_log_in_and_nothing_else() -> None:
    desired = rules.desired_role(options(owner_password="x"), None) or {}
    assert desired.pop("login") is True
    assert (desired.pop("name"), desired.pop("password"), desired.pop("used_by")) == ("mlflow", "set", [])
    assert set(desired.values()) == {False}


@pytest.mark.parametrize("password", ["none", "differs", "unknown"])
def test_only_a_password_known_to_be_right_stays(password: str) -> None:
    current = {"name": "mlflow", "login": True, "superuser": False, "password": password}
    plan = make_plan(current, rules.desired_role(options(owner_password="x"), current))
    assert [change.path for change in plan.changes] == [("password",)]


def test_a_role_without_login_stays_so_unless_it_gets_a_password() -> None:
    current = {"name": "team", "login": False, "superuser": False}
    assert rules.desired_role(options(owner="team"), current) == {"name": "team"}
    assert rules.desired_role(options(owner="team", owner_password="x"), current) == {"name": "team", "login": True, "password": "set"}


@pytest.mark.parametrize("asked", [{}, {"state": "absent", "remove_owner": True}])
def test_a_superuser_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="owner: 'root' is a superuser"):
        rules.desired_role(options(owner="root", **asked), {"name": "root", "login": True, "superuser": True, "used_by": []})


def test_a_role_in_use_elsewhere_is_not_dropped() -> None:
    current = {"name": "mlflow", "login": True, "superuser": False, "used_by": ["2 objects in database 'sales'"]}
    assert rules.desired_role(options(state="absent"), current) is current
    with pytest.raises(Refused, match=r"remove_owner: role 'mlflow' .* 2 objects in database 'sales'.* leave remove_owner out"):
        rules.desired_role(options(state="absent", remove_owner=True, force=True), current)
    assert rules.desired_role(options(state="absent", remove_owner=True), {**current, "used_by": []}) is None


# Databases


def test_grants_are_for_the_tracking_database_alone() -> None:
    asked = options(auth_database="auth", grants={"bi": ["connect"]}, purge_grants=True)
    current = state(grants={"bi": ["CREATE"], "old": ["CONNECT"]})
    assert (rules.desired_database(asked, current, name="mlflow") or {})["grants"] == {"bi": ["CONNECT"], "old": ABSENT}
    assert (rules.desired_database(asked, current, name="auth") or {})["grants"] == {"bi": ABSENT, "old": ABSENT}


def test_a_new_owner_keeps_no_grant_of_its_own() -> None:
    current = state(owner="old", grants={"mlflow": ["CONNECT"]})
    plan = make_plan(current, rules.desired_database(options(), current, "mlflow"))
    assert (plan.after or {})["grants"] == {}


def test_what_the_login_user_cannot_see_is_not_managed() -> None:
    assert make_plan(state(owner_can_create=None), rules.desired_database(options(), state(owner_can_create=None), "mlflow")).is_empty


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"tables": 1}, r"has 1 table, which would be lost; set force: true"),
        ({"sessions": 2}, r"has 2 open sessions of others; set force: true"),
        ({"tables": 45, "sessions": 1}, r"has 45 tables, which would be lost, and has 1 open session of others; set force: true"),
        ({"tables": None}, r"cannot be inspected, so what would be lost is not known; set force: true"),
    ],
)
def test_dropping_asks_for_force(held: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        rules.desired_database(options(state="absent"), state(**held), "mlflow")
    assert rules.desired_database(options(state="absent", force=True), state(**held), "mlflow") is None


def test_a_half_dropped_database_can_only_be_dropped() -> None:
    broken = state(connection_limit=rules.INVALID, tables=None)
    with pytest.raises(Refused, match="can only be dropped"):
        rules.desired_database(options(), broken, "mlflow")
    assert rules.desired_database(options(state="absent"), broken, "mlflow") is None


ROLES = st.sampled_from(["bi", "etl", "dba"])
PRIVILEGES = st.lists(st.sampled_from(["CONNECT", "create", "Temp", "TEMPORARY"]))
DECLARATIONS = st.fixed_dictionaries(
    {"purge_grants": st.booleans()},
    optional={
        "owner": st.sampled_from(["mlflow", "team"]),
        "connection_limit": st.integers(-1, 100),
        "grants": st.dictionaries(ROLES, st.none() | PRIVILEGES),
        "encoding": st.sampled_from(["utf8", "UTF-8"]),
    },
)


@given(DECLARATIONS, st.none() | st.dictionaries(st.sampled_from(["bi", "etl", "dba", "team"]), st.just(["CONNECT"])))
def test_planning_again_is_empty(declaration: dict[str, Any], granted: dict[str, Any] | None) -> None:
    asked = options(**declaration)
    rules.check_options(asked)
    current = None if granted is None else state(owner="old", grants=granted, public_privileges=["CONNECT"])
    plan = make_plan(current, rules.desired_database(asked, current, "mlflow"), ["encoding"])
    assert not plan.is_empty
    assert make_plan(plan.after, rules.desired_database(asked, plan.after, "mlflow"), ["encoding"]).is_empty


# Verifiers

RFC7677 = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="


def test_scram_vector_of_rfc_7677() -> None:
    assert password_matches("user", "pencil", RFC7677)
    assert password_matches("anyone", "pencil", RFC7677), "a SCRAM verifier does not depend on the role"
    assert not password_matches("user", "pencil ", RFC7677)


NO_VERIFIERS = ["", "pencil", "md5", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:AA==$AA==:AA==", RFC7677[:-45], "SCRAM-SHA-512" + RFC7677[13:]]


@pytest.mark.parametrize("verifier", NO_VERIFIERS)
def test_what_is_no_verifier_matches_nothing(verifier: str) -> None:
    assert not password_matches("user", "pencil", verifier)


def test_md5_verifier_depends_on_the_role() -> None:
    verifier = psycopg2.extensions.encrypt_password("pencil", "user", algorithm="md5")
    assert password_matches("user", "pencil", verifier)
    assert not password_matches("other", "pencil", verifier)


# Errors


@pytest.mark.parametrize(
    ("said", "kind", "remedy"),
    [
        ('could not translate host name "x" to address: Name or service not known', Unreachable, "check login_host"),
        ('connection to server at "x" (10.0.0.1), port 1 failed: refused\n\tIs the server running?', Unreachable, "check login_host and"),
        ('connection to server at "x", port 1 failed: timeout expired', Unreachable, "check login_host and login_port"),
        ('connection to server at "x", port 1 failed: FATAL:  password authentication failed for user "a"', NotPermitted, "check login_user and"),
        ("connection to server at \"x\", port 1 failed: fe_sendauth: no password supplied", NotPermitted, "give login_password"),
        ('FATAL:  Peer authentication failed for user "postgres"', NotPermitted, "check login_user, and its authentication method in pg_hba.conf"),
        ('FATAL:  no pg_hba.conf entry for host "::1", user "a", database "b", no encryption', NotPermitted, "set ssl_mode to require"),
        ('FATAL:  no pg_hba.conf entry for host "::1", user "a", database "b", SSL encryption', NotPermitted, "add a line for this host"),
        ("SSL error: certificate verify failed", Unreachable, "give the CA that signed it as ca_cert"),
        ('root certificate file "/srv/pg/.postgresql/root.crt" does not exist', Unreachable, "give as ca_cert a PEM file"),
        ('server certificate for "db" does not match host name "localhost"', Unreachable, "verify-ca"),
        ("server does not support SSL, but SSL was required", Unsupported, "turn TLS on in the server"),
        ('FATAL:  database "certificate verify failed" does not exist', Unreachable, "check login_db"),
        ('FATAL:  role "ghost" does not exist', NotPermitted, "check login_user"),
        ('FATAL:  role "team" is not permitted to log in', NotPermitted, "a role that has LOGIN"),
        ("FATAL:  sorry, too many clients already", Unreachable, "raise max_connections"),
        ("FATAL:  the database system is starting up", Unreachable, "wait until the server accepts connections"),
    ],
)
def test_a_failed_connection_says_what_to_do(said: str, kind: type[ServerError], remedy: str) -> None:
    error = session.connection_failure(LOGIN, said)
    assert error.__class__ is kind
    assert remedy in str(error)
    assert "PostgreSQL at db.example.com:5432, login_user 'admin'" in str(error)
    assert "\n" not in str(error)
    assert "hunter2" not in str(error) + repr(LOGIN)


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        ("42P04", "database already exists", Conflict),
        ("42710", "role already exists", Conflict),
        ("23505", "duplicate key value", Conflict),
        ("55006", "database is being accessed by other users", Conflict),
        ("XX000", "tuple concurrently updated", Conflict),
        ("XX000", "could not find tuple for role 16512", Conflict),
        ("XX000", "invalid page in block 7", ServerError),
        ("42501", "permission denied", NotPermitted),
        ("25006", "cannot execute in a read-only transaction", Unsupported),
        ("22023", "encoding does not match locale", ServerError),
        (None, "whatever", ServerError),
    ],
)
def test_a_failed_statement(code: str | None, said: str, kind: type[ServerError]) -> None:
    error = session.statement_failure(LOGIN, "create role 'mlflow'", code, said)
    assert error.__class__ is kind
    assert str(error).startswith(f"PostgreSQL at db.example.com:5432: cannot create role 'mlflow': {said}")


def test_a_cut_session_is_a_conflict() -> None:
    assert isinstance(session.statement_failure(LOGIN, "create", "57P01", "terminating connection", closed=True), Conflict)


@pytest.mark.parametrize(("version", "text"), [(110022, "version 11"), (90624, "version 9.6")])
def test_an_old_server_is_refused(version: int, text: str) -> None:
    with pytest.raises(Unsupported, match=f"{text}, and this module needs 12 or later; upgrade"):
        session.require_version(LOGIN, version)
    session.require_version(LOGIN, 120000)


def test_a_database_that_has_to_be_there_is_not_made_anew() -> None:
    assert rules.desired_database(options(create=False), state(), name="mlflow")
    with pytest.raises(Refused, match="database 'mlflow' does not exist, and create is false; restore it from a backup"):
        rules.desired_database(options(create=False), None, name="mlflow")
