"""Which addresses of versions are understood."""
from __future__ import annotations

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._mlflow.model_uri.rules import ModelUri, parse
from ansible_collections.mlops.mlflow.plugins.module_utils._options import InvalidOption


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        ("iris@champion", ModelUri("iris", alias="champion")),
        ("имя 模型 🤖 % ' \"@a_b-1", ModelUri("имя 模型 🤖 % ' \"", alias="a_b-1")),
        ("a@b@c", ModelUri("a@b", alias="c")),
        ("a@b/3", ModelUri("a@b", version="3")),
        ("iris/10", ModelUri("iris", version="10")),
        ("iris/latest", ModelUri("iris")),
        ("iris/Latest", ModelUri("iris")),
        ("iris/staging", ModelUri("iris", stage="Staging")),
        ("iris/None", ModelUri("iris", stage="None")),
    ],
)
def test_an_address(rest: str, found: ModelUri) -> None:
    assert parse(f"models:/{rest}") == found


BAD = ["", "iris@champion", "models:/", "models:/iris", "models:/@champion", "models:/iris/", "models:/iris/0", "models:/a/b/3"]
WORSE = ["models:/iris/newest", "models:/iris/-1", "models:/m-1f0c4a", "models:/iris@", "models:/iris@a/b/3", "runs:/1f/model", "models:/iris@a\n"]


@pytest.mark.parametrize("uri", BAD + WORSE)
def test_no_address(uri: str) -> None:
    with pytest.raises(InvalidOption, match="term: .* is not the address of a model's version; use models:/NAME@ALIAS"):
        parse(uri)
