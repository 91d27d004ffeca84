# Copyright: (c) 2026, the mlops.mlflow maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""The desired state of a database and its owner: options in, state out. No I/O."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.mlops.mlflow.plugins.module_utils._options import GONE, InvalidOption, Refused
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import ABSENT, State, purged

#: NAMEDATALEN - 1. PostgreSQL truncates longer names with only a notice (docs/current/limits.html).
MAX_NAME_BYTES = 63
#: Databases that a server or its tools need (docs/current/manage-ag-templatedbs.html).
SYSTEM_DATABASES = frozenset({"postgres", "template0", "template1"})
#: The privileges on a database, including the alias TEMP (docs/current/ddl-priv.html).
PRIVILEGES = {"CONNECT": "CONNECT", "CREATE": "CREATE", "TEMPORARY": "TEMPORARY", "TEMP": "TEMPORARY"}
#: Connection limit of a database whose removal was interrupted: it can only be dropped (docs/current/catalog-pg-database.html).
INVALID = -2
#: Encodings that a database can have (docs/current/multibyte.html, table 23.3).
_ENCODINGS = (
    *("EUC_CN", "EUC_JIS_2004", "EUC_JP", "EUC_KR", "EUC_TW", "ISO_8859_5", "ISO_8859_6", "ISO_8859_7", "ISO_8859_8", "KOI8R", "KOI8U"),
    *("LATIN1", "LATIN2", "LATIN3", "LATIN4", "LATIN5", "LATIN6", "LATIN7", "LATIN8", "LATIN9", "LATIN10", "MULE_INTERNAL"),
    *("SQL_ASCII", "UTF8", "WIN1250", "WIN1251", "WIN1252", "WIN1253", "WIN1254", "WIN1255", "WIN1256", "WIN1257", "WIN1258"),
    *("WIN866", "WIN874"),
)
#: What PostgreSQL takes for a verifier and not for a password (get_password_type of src/backend/libpq/crypt.c), and what looks like one.
_VERIFIER = re.compile(r"SCRAM-SHA-256\$\d+:.*|md5[0-9a-f]{32}", re.DOTALL)
_NO_REVISIONS = {"mlflow": None, "auth": None}


def databases(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the one or two databases that ``params`` describe."""
    return tuple(params[option] for option in ("name", "auth_database") if params.get(option) is not None)


def owner(params: Mapping[str, Any]) -> str:
    """Return the name of the owning role, by default that of the database."""
    return str(params["name"] if params.get("owner") is None else params["owner"])


def declared_password(params: Mapping[str, Any]) -> str | None:
    """Return the owner's desired password, or None if it is not managed."""
    return params.get("owner_password") if params["state"] == "present" else None


def order(params: Mapping[str, Any]) -> list[str]:
    """Return what is reconciled, in order: an owner is created before its databases, and dropped after them.

    >>> order({"name": "mlflow", "auth_database": "mlflow_auth", "state": "present"})
    ['role', 'database', 'auth_database']
    >>> order({"name": "mlflow", "state": "absent"})
    ['database', 'role']
    """
    keys = ["role", "database", "auth_database"][: 1 + len(databases(params))]
    return keys[::-1] if params["state"] == "absent" else keys


# Options


def check_options(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for a value that PostgreSQL would reject or misinterpret.

    >>> check_options({"name": "template1", "state": "present"})
    Traceback (most recent call last):
    ...
    ansible_collections...InvalidOption: name: 'template1' belongs to the server itself; give MLflow a database of its own
    """
    for option in ("name", "auth_database", "owner"):
        if params.get(option) is not None:
            _check_identifier(option, params[option])
    for option in ("name", "auth_database"):
        if params.get(option) in SYSTEM_DATABASES:
            raise InvalidOption(option, params[option], "belongs to the server itself", "give MLflow a database of its own")
    if params.get("auth_database") == params["name"]:
        raise InvalidOption("auth_database", params["name"], "is the same as name", "give it a name of its own, or leave it out")
    _check_owner(params)
    _check_password(params)
    if params.get("encoding") is not None:
        _encoding(params["encoding"])
    limit = params.get("connection_limit")
    if limit is not None and not -1 <= limit < 2**31:
        raise InvalidOption("connection_limit", limit, "is not a valid number of connections", "give 0 to 2147483647, or -1 for no limit")
    _grants(params)
    if params["state"] == "absent" and params.get("login_db") in databases(params):
        raise InvalidOption("login_db", params["login_db"], "is to be dropped, which a session in it cannot do", "connect to another one")


def _check_identifier(option: str, name: str) -> None:
    if not name:
        raise InvalidOption(option, name, "is empty", "give 1 to 63 bytes" if option == "name" else "give 1 to 63 bytes, or leave it out")
    if "\0" in name:
        raise InvalidOption(option, name, "contains a NUL character", "PostgreSQL allows every other character; remove it")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidOption(option, name, "is not valid Unicode", "give text that can be encoded as UTF-8") from None
    if size > MAX_NAME_BYTES:
        remedy = f"PostgreSQL truncates names to {MAX_NAME_BYTES} bytes; shorten it"
        raise InvalidOption(option, name[:20] + "…", f"is {size} bytes long in UTF-8", remedy)


def _check_owner(params: Mapping[str, Any]) -> None:
    name = owner(params)
    if name in ("public", "none") or name.startswith("pg_"):
        raise InvalidOption("owner", name, "is a name that PostgreSQL reserves", "give the owner another name")
    if name != params.get("login_user"):
        return
    password = declared_password(params)
    if password is not None and password != params.get("login_password"):
        remedy = "leave owner_password out, or name another owner"
        raise InvalidOption("owner", name, "is login_user, and the module does not change the password of its own session", remedy)
    if params["state"] == "absent" and params.get("remove_owner"):
        raise InvalidOption("owner", name, "is login_user, which cannot drop itself", "leave remove_owner out, or log in as another role")


def _check_password(params: Mapping[str, Any]) -> None:
    # Messages never show the password; each says what is wrong with it instead.
    password = params.get("owner_password")
    if password == "":
        raise InvalidOption("owner_password", "", "is empty, with which nobody can log in", "give a password, or leave it out")
    if password and ("\0" in password or password.encode("utf-8", "replace") != password.encode("utf-8", "surrogatepass")):
        raise InvalidOption("owner_password", "…", "contains a character that PostgreSQL cannot store", "use valid Unicode without NUL characters")
    if password and _VERIFIER.fullmatch(password):
        remedy = "give the password itself; only a verifier of it is sent to the server"
        raise InvalidOption("owner_password", "…", "is a stored form of a password, with which nobody can log in", remedy)


def _encoding(given: str) -> str:
    """Return PostgreSQL's name of an encoding, ignoring case and punctuation.

    >>> _encoding("utf-8"), _encoding("latin1")
    ('UTF8', 'LATIN1')
    """

    def folded(name: str) -> str:
        return re.sub(r"[^a-z0-9]", "", name.lower())

    for name in _ENCODINGS:
        if folded(name) == folded(given):
            return name
    remedy = "give UTF8, which MLflow needs for names in any script"
    raise InvalidOption("encoding", given, "is not an encoding that a PostgreSQL database can have", remedy)


def check_encoding(encoding: str, template: Sequence[str | None], server: str) -> None:
    """Raise InvalidOption for an encoding that a new database of the server cannot have. ``template`` is as in ``other_locale``."""
    locale = other_locale(encoding, template)
    if locale:
        what = f"does not match the locale {locale!r}, which {server} gives to new databases"
        raise InvalidOption("encoding", encoding, what, "leave it out, which gives UTF8" if template[0] == "UTF8" else f"give {template[0]}")


def other_locale(encoding: str, template: Sequence[str | None]) -> str:
    """Return the locale that a new database would get and that the encoding does not match; empty where it does.

    ``template`` is the encoding, the locale of characters, the provider of locales and its locale that the server's template has, which are what a
    database gets (https://www.postgresql.org/docs/current/locale.html, src/backend/commands/dbcommands.c).

    >>> other_locale("LATIN1", ("UTF8", "C", "b", "C.UTF-8")), other_locale("LATIN1", ("UTF8", "en_US.UTF-8", "c", None))
    ('C.UTF-8', 'en_US.UTF-8')
    >>> other_locale("LATIN1", ("UTF8", "C", "c", None)), other_locale("UTF8", ("UTF8", "C", "b", "C.UTF-8"))
    ('', '')
    """
    of_template, characters, provider, locale = template
    if encoding == of_template:
        return ""
    if provider == "b" and locale != "C" and encoding != "UTF8":
        return str(locale)
    return "" if characters in ("C", "POSIX") else str(characters)


def _grants(params: Mapping[str, Any]) -> State:
    """The declared grants: a role's privileges sorted and in PostgreSQL's spelling, ABSENT for none.

    >>> _grants({"name": "mlflow", "grants": {"grafana": ["temp", "connect"], "old": []}})
    {'grafana': ['CONNECT', 'TEMPORARY'], 'old': ABSENT}
    """
    wanted: State = {}
    for role, given in (params.get("grants") or {}).items():
        _check_identifier("grants", role)
        if role.lower() == "public":
            raise InvalidOption("grants", role, "stands for every role, which this module grants nothing", "name the roles that need it")
        if role == owner(params):
            raise InvalidOption("grants", role, "is the owner, who has every privilege", "leave it out")
        privileges = [] if given is None else given
        if not isinstance(privileges, list):
            raise InvalidOption("grants", f"{role}: {given}", "is not a list of privileges", "give a list such as [CONNECT]")
        for privilege in privileges:
            if str(privilege).upper() not in PRIVILEGES:
                raise InvalidOption("grants", f"{role}: {privilege}", "is not a database privilege", "use CONNECT, CREATE and TEMPORARY")
        wanted[role] = sorted({PRIVILEGES[str(privilege).upper()] for privilege in privileges}) or ABSENT
    return wanted


# States


def desired_role(params: Mapping[str, Any], current: State | None) -> State | None:
    """Return the desired state of the owner for ``params``, given the current one.

    A new role gets LOGIN and no other attribute. An existing one keeps its attributes, but a superuser is accepted as
    the owner only if it is ``login_user``. Raises InvalidOption for that, and Refused if a role to be dropped is still
    in use.

    >>> desired_role({"name": "mlflow", "state": "present", "owner_password": "s3cret"}, None)["password"]
    'set'
    >>> desired_role({"name": "mlflow", "state": "present"}, {"name": "mlflow", "login": False, "superuser": False})
    {'name': 'mlflow'}
    """
    name = owner(params)
    removing = params["state"] == "absent"
    if removing and not params.get("remove_owner"):
        return current
    if current is not None and current["superuser"] and name != params.get("login_user"):
        remedy = "leave remove_owner out" if removing else "name another owner, or remove the attribute with ALTER ROLE … NOSUPERUSER"
        raise InvalidOption("owner", name, "is a superuser, which may read and write every database of the server", remedy)
    if removing:
        if current is not None and current.get("used_by"):
            raise Refused(
                f"remove_owner: role {name!r} owns, or has privileges on, more than the databases to be dropped: {', '.join(current['used_by'])}; "
                "reassign that with REASSIGN OWNED and DROP OWNED, or leave remove_owner out"
            )
        return None
    desired: State = {"name": name}
    if current is None:
        desired.update({"login": True, "superuser": False, "create_database": False, "create_role": False, "replication": False})
        desired["used_by"] = []
    if declared_password(params) is not None:
        desired.update({"login": True, "password": "set"})
    return desired


def desired_database(params: Mapping[str, Any], current: State | None, name: str) -> State | None:
    """Return the desired state of database ``name`` for ``params``, given the current one.

    Grants apply only to the tracking database, since the one for authentication holds password hashes.
    Raises Refused if that would drop tables or terminate sessions without ``force``.

    >>> desired_database({"name": "mlflow", "state": "absent"}, {"name": "mlflow", "connection_limit": -1, "tables": 45, "sessions": 2}, "mlflow")
    Traceback (most recent call last):
    ...
    ansible_collections...Refused: database 'mlflow' has 45 tables, which would be lost, and has 2 open sessions of others; set force: true ...
    """
    if params["state"] == "absent":
        _guard_drop(params, current, name)
        return None
    if current is not None and current["connection_limit"] == INVALID:
        raise Refused(f"database {name!r} was left behind by an interrupted DROP DATABASE and can only be dropped; do so with state: absent")
    if current is None and not params.get("create", True):
        raise Refused(f"database {name!r} does not exist, and create is false; {GONE}")
    desired: State = {"name": name, "owner": owner(params), "public_privileges": []}
    grants: State = _grants(params) if name == params["name"] else {}
    if current is None:
        desired.update({"encoding": "UTF8", "connection_limit": -1, "owner_can_create": True})
        desired.update({"tables": 0, "sessions": 0, "size": None, "alembic_revisions": dict(_NO_REVISIONS)})
    elif current["owner_can_create"] is not None:
        desired["owner_can_create"] = True
    if params.get("encoding") is not None:
        desired["encoding"] = _encoding(params["encoding"])
    if params.get("connection_limit") is not None:
        desired["connection_limit"] = params["connection_limit"]
    granted: State = (current or {}).get("grants", {})
    if params.get("purge_grants"):
        grants = purged(granted, grants)
    if owner(params) in granted:
        # A grant to the role that becomes the owner is absorbed into the owner's privileges.
        grants[owner(params)] = ABSENT
    return {**desired, "grants": grants}


def _guard_drop(params: Mapping[str, Any], current: State | None, name: str) -> None:
    if current is None or params.get("force") or current["connection_limit"] == INVALID:
        return
    losses = []
    if current["tables"] is None:
        losses.append("cannot be inspected, so what would be lost is not known,")
    elif current["tables"]:
        losses.append(f"has {_count(current['tables'], 'table')}, which would be lost,")
    if current["sessions"]:
        losses.append(f"has {_count(current['sessions'], 'open session')} of others")
    if losses:
        remedy = "set force: true to terminate its sessions and drop it with all its contents"
        raise Refused(f"database {name!r} {' and '.join(losses).rstrip(',')}; {remedy}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
