"""Hostile values for the options of every module, as strategies of Hypothesis."""
from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st

Entry = dict[str, Any]

NUMBERS = itertools.count()

NASTY = [
    *("", " ", "\0", "a\0b", "\x85", "a\x85b", "\u2028", "\ufeff", "\ud800", "a\udfffb", "\r\n", "\t", "\x1b[31m", "\x7f", "\u202eabc"),
    *("%", "%s", "%(x)s", "%00", "%2e%2e", "%252e%252e/x", "../../etc", ".", "..", "/", "//", "a/../b", "a:b", "a#b", "a?b", "a;b", "*"),
    *("'", '"', "`", "\\", "'; DROP TABLE experiments; --", "{{ 7 * 7 }}", "{% raw %}", "$(id)", "${HOME}", "<script>", "&amp;"),
    *("null", "true", "NaN", "1e400", "é", "e\u0301", "ﬁ", "🤖", "имя 模型", "ж" * 256),
    *("n" * length for length in (63, 64, 250, 255, 256, 257, 500, 5000, 5001, 20_001, 10**5, 10**5 + 1)),
]
TEXT = st.one_of(st.sampled_from(NASTY), st.text(st.characters(), max_size=12), st.builds("".join, st.lists(st.sampled_from(NASTY[:50]), max_size=3)))
TAGS = st.dictionaries(st.one_of(TEXT, st.sampled_from(["k", "a.b", "a/b", "mlflow.note.content", "mlflow.prompt.is_prompt"])), TEXT, max_size=2)
NUMBER = st.sampled_from([-(2**63), -2, -1, 0, 1, 7, 2**31 - 1, 2**31, 2**63, 10**400])


@st.composite
def named(draw: st.DrawFn, /, option: str, **fields: st.SearchStrategy[Any]) -> Entry:
    """An entry with a name of its own, hostile behind its beginning or, now and then, as a whole."""
    name = draw(TEXT)
    if draw(st.integers(0, 9)) and len(name) < 240:
        name = f"h{next(NUMBERS)}{name}"
    present = {key: draw(strategy) for key, strategy in fields.items() if draw(st.booleans())}
    return {option: name, **present}


def entries(section: str) -> st.SearchStrategy[Entry]:
    """Entries of a list of a declaration, which are the options of its kind's own module too."""
    chat = st.lists(st.fixed_dictionaries({"role": TEXT, "content": TEXT}), max_size=2)
    version = st.fixed_dictionaries({"template": st.one_of(TEXT, chat), "commit_message": TEXT, "tags": TAGS})
    strategies: dict[str, st.SearchStrategy[Entry]] = {
        "workspaces": named("name", description=TEXT, default_artifact_root=TEXT),
        "users": named("username", password=st.builds("a password {}".format, TEXT)).map(lambda entry: {"password": "a password for her", **entry}),
        "experiments": named("name", tags=TAGS, artifact_location=st.one_of(TEXT, st.builds("s3://b/{}".format, TEXT))),
        "registered_models": named("name", description=TEXT, tags=TAGS, aliases=st.dictionaries(TEXT, st.none(), max_size=1)),
        "model_versions": st.builds(
            lambda source, more: {"name": "hostile", "source": f"s3://b/{next(NUMBERS)}/{source}", **more},
            TEXT,
            st.fixed_dictionaries({"description": TEXT, "tags": TAGS, "aliases": st.lists(TEXT, max_size=1)}),
        ),
        "prompts": named("name", description=TEXT, tags=TAGS, versions=st.lists(version, max_size=2)),
        "webhooks": named("name", url=st.builds("https://1.1.1.1/{}".format, TEXT), description=TEXT, secret=TEXT).map(
            lambda entry: {"url": "https://1.1.1.1/", "events": ["prompt.created"], **entry}
        ),
        "gateway_secrets": named("name", auth_config=TAGS).map(
            lambda entry: {"value": {"api_key": entry["name"] or "k"}, "provider": "openai", **entry}
        ),
        "gateway_model_definitions": named("name", model_name=TEXT).map(
            lambda entry: {"model_name": "m", "provider": "openai", "secret": "hostile", **entry}
        ),
        "gateway_endpoints": named("name", tags=TAGS, experiment=TEXT).map(lambda entry: {"models": [{"model_definition": "hostile"}], **entry}),
        "roles": named("name", description=TEXT, users=st.lists(TEXT, max_size=1)),
        "grants": st.builds(lambda text: {"username": "hostile", "resource_type": "experiment", "resource": text, "permission": "READ"}, TEXT),
    }
    return strategies[section]


def databases() -> st.SearchStrategy[Entry]:
    """Options of mlflow_database."""
    privileges = st.lists(st.one_of(st.just("CONNECT"), TEXT), max_size=2)
    return named(
        "name",
        owner=st.builds(lambda text: f"o{next(NUMBERS)}{text}", TEXT),
        owner_password=TEXT,
        encoding=st.one_of(st.sampled_from(["UTF8", "utf-8", "LATIN1", "BIG5"]), TEXT),
        connection_limit=NUMBER,
        grants=st.dictionaries(st.one_of(st.just("postgres"), TEXT), privileges, max_size=2),
        auth_database=st.builds(lambda text: f"a{next(NUMBERS)}{text}", TEXT),
    )


def buckets() -> st.SearchStrategy[Entry]:
    """Options of mlflow_bucket. Half of the names are good ones, since any other is refused whatever else is said."""
    statement = st.builds(
        lambda effect, action, resource, principal: {"Effect": effect, "Action": action, "Resource": resource, "Principal": principal},
        st.one_of(st.sampled_from(["Allow", "Deny"]), TEXT),
        st.one_of(st.just("s3:GetObject"), TEXT),
        st.one_of(st.just("arn:aws:s3:::hostile/*"), TEXT),
        st.one_of(st.just({"AWS": ["arn:aws:iam::123456789012:root"]}), TEXT),
    )
    options = {
        "tags": st.dictionaries(st.one_of(TEXT, st.sampled_from(["k", "aws:k", "a/b"])), TEXT, max_size=2),
        "prefix": TEXT,
        "policy": st.one_of(st.dictionaries(TEXT, TEXT, max_size=1), st.builds(lambda found: {"Statement": [found]}, statement)),
        "kms_key_id": TEXT,
        "noncurrent_expiration_days": NUMBER,
        "abort_incomplete_multipart_days": NUMBER,
        "versioning": st.booleans(),
    }
    good = st.fixed_dictionaries({}, optional=options).map(lambda found: {"name": f"hostile-{next(NUMBERS)}", **found})
    return st.one_of(good, named("name", **options))


def selections() -> dict[str, st.SearchStrategy[Entry]]:
    """Options of each info module, by which it selects what it returns."""
    choice = {"name": TEXT}
    filtered = {**choice, "filter": TEXT}
    options: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "mlflow_experiment_info": filtered,
        "mlflow_registered_model_info": filtered,
        "mlflow_model_version_info": filtered,
        "mlflow_prompt_info": filtered,
        "mlflow_user_info": {"username": TEXT},
        "mlflow_role_info": choice,
        "mlflow_grant_info": {"username": TEXT, "resource_type": st.one_of(st.just("experiment"), TEXT), "resource": TEXT},
        "mlflow_webhook_info": choice,
        "mlflow_workspace_info": choice,
        "mlflow_gateway_secret_info": choice,
        "mlflow_gateway_model_definition_info": choice,
        "mlflow_gateway_endpoint_info": choice,
        "mlflow_run_info": {"experiments": st.lists(TEXT, max_size=2), "run_id": TEXT, "filter": TEXT, "order_by": st.lists(TEXT, max_size=1)},
        "mlflow_server_info": {"workspace": TEXT, "timeout": NUMBER, "retries": st.just(0)},
    }
    return {module: st.fixed_dictionaries({}, optional=found) for module, found in options.items()}
