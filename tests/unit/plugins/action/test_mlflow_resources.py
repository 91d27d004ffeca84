"""What the control node's part of mlflow_resources makes of files."""
from __future__ import annotations

import pytest
from ansible.parsing.dataloader import DataLoader
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.mlops.mlflow.plugins.action import mlflow_resources as action
from ansible_collections.mlops.mlflow.plugins.action.mlflow_resources import dump, duplicates


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("webhooks:\n  - name: a\nwebhooks: []\n", [("webhooks", 3)]),
        ("experiments:\n  - name: a\n    tags:\n      x: 1\n      'x': 2\n", [("x", 5)]),
        # JSON, in which a module gets its options, has no number for a key.
        ("experiments:\n  - {name: a, tags: {1: a, '1': b}}\n", [("1", 2)]),
        ("experiments: [{name: a, name: b}, {name: c, name: d, name: e}]\n", [("name", 1), ("name", 1)]),
        ('{"users": [], "roles": [],\n "users": []}', [("users", 2)]),
        ('{"users": [],\n\t"users": []}', [("users", 2)]),
        ("users: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  61\nusers: []\n", [("users", 4)]),
        ("a: &one {name: x}\nb: *one\n", []),
        ("a: {<<: {x: 1}, <<: {y: 2}}\n", []),
        ("experiments: [", []),
        ("", []),
    ],
)
def test_a_key_that_is_given_twice_is_found_with_its_line(text: str, found: list[tuple[str, int]]) -> None:
    assert list(duplicates(text)) == found


def test_only_what_begins_at_a_place_is_looked_at() -> None:
    play = "- vars: {a: 1, a: 2}\n  tasks:\n    - mlflow:\n        name: x\n        name: y\n"
    assert list(duplicates(play, (4, 9))) == [("name", 5)]
    assert list(duplicates(play, (1, 9))) == [("a", 1)]
    assert list(duplicates(play, (9, 9))) == []


@given(st.text(), st.text(alphabet="a \n\r\t\x85\u2028\u2029\ufeff'\"#:-|>%{}[]!&*?@`,\\"))
@example("a\x85b", "\x85\n")
@example("two\nlines\n\n", " leading\n")
@example("yes", "1e3")
@example("=", "<<")
def test_what_is_written_is_read_again(one: str, other: str) -> None:
    resources = {"experiments": [{"name": one, "tags": {other: one, "k": other}}]}
    assert DataLoader().load(dump(resources)) == resources


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ("experiments:\n  - name: 1e3\n    tags: {a: yes, b: 0o7, c: 1_000, d: ~, e: .5, f: 0x1f, g: '1'}\n", True),
        ("a: &one [x, y]\nb: *one\n", True),
        ("users:\n  - password: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      61\n", False),
        ("a: !unsafe '{{ x }}'\n", False),
        ("a: 2026-11-29\n", False),
        ("a: {<<: {b: 1}}\n", False),
        ('{"a": 1e3}', False),  # JSON, in which that is a number
        ("- a\n", False),
        ("", False),
    ],
)
def test_what_is_plain_is_read_without_ansible_and_is_the_same(text: str, is_plain: bool) -> None:
    root = action._composed(text)
    assert action._is_plain(root) is is_plain
    if is_plain:
        assert action._constructed(root) == DataLoader().load(text)


@pytest.mark.parametrize("text", ["a:\n  ? [b]\n  : c\n", f"a: {'1' * 5000}\n"])
def test_what_is_wrong_is_left_to_ansible(text: str) -> None:
    assert action._constructed(action._composed(text)) is None
