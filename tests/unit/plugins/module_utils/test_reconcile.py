"""The engine with kinds of its own, in memory: it knows none of MLflow's, and each of a kind's peculiarities is seen by itself."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.mlops.mlflow.plugins.module_utils._errors import Misdeclared, Unmet
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile import run_declaration
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.kind import ALONE, Kind, Kinds, Listings, Surroundings
from ansible_collections.mlops.mlflow.plugins.module_utils._reconcile.plan import Plan, State


@dataclass
class Library:
    """A server with shelves and books, and what was asked of it."""

    shelves: dict[str, State] = field(default_factory=dict)
    books: list[State] = field(default_factory=list)
    #: Shelves that a listing shows, and that are gone in a moment.
    passing: list[State] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def close(self) -> None:
        """It has no connection."""


class Shelf:
    """One shelf, identified by its name."""

    immutable: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()

    def __init__(self, client: Library, params: Mapping[str, Any]) -> None:
        self._library, self._name = client, params["name"]

    @classmethod
    def find(cls, client: Library, where: Mapping[str, Any]) -> Iterator[State]:
        client.calls.append("list shelves")
        yield from [*client.shelves.values(), *client.passing]

    def read(self) -> State | None:
        return self._library.shelves.get(self._name)

    def check(self, plan: Plan) -> None:
        """Whatever is asked for is possible."""

    def apply(self, plan: Plan) -> None:
        self._library.calls.append(f"{plan.action} shelf {self._name} {sorted({change.path[0] for change in plan.changes})}")
        if plan.after is None:
            del self._library.shelves[self._name]
        else:
            self._library.shelves[self._name] = plan.after


class Book:
    """One of the books of a shelf."""

    immutable: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()

    def __init__(self, client: Library, params: Mapping[str, Any], surroundings: Surroundings = ALONE) -> None:
        self._library, self._entry, self._surroundings = client, params, surroundings

    @classmethod
    def find(cls, client: Library, where: Mapping[str, Any]) -> Iterator[State]:
        yield from client.books

    @classmethod
    def listed(cls, client: Library, listings: Listings) -> Iterable[State]:
        listings.once("books", lambda: client.calls.append("list books") or client.books)  # type: ignore[func-returns-value]
        return listings.once("books", lambda: pytest.fail("it is listed once"))

    def read(self) -> State | None:
        alike = [book for book in self._library.books if book["name"] == self._entry["name"]][-self._surroundings.count :]
        return alike[self._surroundings.index] if self._surroundings.index < len(alike) else None

    def check(self, plan: Plan) -> None:
        around = self._surroundings
        self._library.calls.append(f"check book {around.index} of {around.count}, new shelf: {around.parent_is_new}")
        if not around.parent_is_new and self._entry["name"] not in self._library.shelves:
            raise Unmet(f"there is no shelf {self._entry['name']!r}", [("shelves", self._entry["name"])])

    def apply(self, plan: Plan) -> None:
        self._library.calls.append(f"{plan.action} book")
        assert plan.after is not None
        self._library.books.append(plan.after)


def rules(label: str, *options: str) -> Any:
    def desired_state(params: Mapping[str, Any], current: State | None) -> State | None:
        wanted = {key: value for key in ("name", *options) if (value := params.get(key)) is not None}
        return None if params["state"] == "absent" else wanted

    return SimpleNamespace(
        LABEL=label,
        OPTIONS={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present"},
            **{option: {"type": "str"} for option in options},
        },
        check_options=lambda params: None,
        identity=lambda entry: (entry["name"],),
        desired_state=desired_state,
        declared=lambda state: dict(state) if state["name"] != "secret" else None,
    )


SHELF = Kind(
    "shelves",
    rules("shelf", "colour", "favourite"),
    Shelf,
    late=frozenset({"favourite"}),
    comes_last=lambda state: state.get("colour") == "mine",
    kept=lambda state: state["name"] == "built-in",
    momentary=lambda state: state.get("colour") == "fading",
    undeclared="ask for it",
    exported=lambda entries, sections, portable: [{**entry, "books": len(sections.get("books", []))} for entry in entries],
)
BOOK = Kind(
    "books",
    rules("book", "title"),
    Book,
    listing=Book.listed,
    repeats=True,
    parent="shelves",
    portable=lambda state: state.get("title") != "local",
    called=lambda state: f"{state['name']}/{state['title']}",
    undeclared="copy it",
)
KINDS = Kinds((SHELF,), (BOOK,))


class Ended(Exception):
    """What ends a module."""


def options(**given: Any) -> dict[str, Any]:
    """The module's options, with defaults."""
    entries = {section: [{"state": "present", **entry} for entry in given.pop(section)] if section in given else None for section in KINDS}
    return {"state": "present", "kinds": None, "prune": [], "prune_limit": 100, "connections": 1, "portable": False, **entries, **given}


def run(library: Library, check_mode: bool = False, **given: Any) -> dict[str, Any]:
    ended: dict[str, Any] = {}

    def end(**result: Any) -> None:
        ended.update(result)
        raise Ended

    module: Any = SimpleNamespace(params=options(**given), check_mode=check_mode, exit_json=end, fail_json=end)
    with pytest.raises(Ended):
        run_declaration.run(module, KINDS, lambda: library)
    return ended


def test_what_a_kind_depends_on_is_made_before_it_and_what_refers_to_it_after_it() -> None:
    wanted: dict[str, Any] = {"books": [{"name": "a", "title": "x"}], "shelves": [{"name": "a", "colour": "red", "favourite": "x"}]}
    predicted = run(Library(), check_mode=True, **wanted)
    library = Library()
    assert run(library, **wanted) == predicted
    assert predicted["actions"] == ["create shelf a", "create book a"]
    writes = [call for call in library.calls if call.startswith(("create", "update"))]
    assert writes == ["create shelf a ['colour', 'name']", "create book", "update shelf a ['favourite']"]
    assert not run(library, **wanted)["changed"]


def test_a_resource_knows_of_the_rest_of_its_declaration() -> None:
    library = Library(shelves={"a": {"name": "a"}})
    entries = [{"name": "a", "title": "x"}, {"name": "b", "title": "y"}, {"name": "a", "title": "z"}]
    run(library, shelves=[{"name": "b"}], books=entries)
    assert [call for call in library.calls if call.startswith("check")] == [
        "check book 0 of 2, new shelf: False", "check book 0 of 1, new shelf: True", "check book 1 of 2, new shelf: False",
    ]


def test_a_condition_that_no_other_entry_meets_is_said_of_its_entry() -> None:
    module: Any = SimpleNamespace(params=options(books=[{"name": "c", "title": "x"}]), check_mode=True)
    with pytest.raises(Misdeclared, match="books: 'c': there is no shelf 'c'") as raised:
        run_declaration.run(module, KINDS, Library)
    assert (raised.value.section, raised.value.number) == ("books", 1)


def test_what_may_break_the_connection_is_changed_last_and_what_is_kept_is_not_pruned() -> None:
    library = Library(shelves={name: {"name": name, "colour": colour} for name, colour in (("me", "mine"), ("old", "red"), ("built-in", "red"))})
    result = run(library, shelves=[{"name": "me", "colour": "blue"}, {"name": "new"}], prune=["shelves"])
    writes = [call.split()[:3] for call in library.calls if not call.startswith("list")]
    assert writes == [["create", "shelf", "new"], ["delete", "shelf", "old"], ["update", "shelf", "me"]]
    assert result["counts"] == {"created": 1, "changed": 1, "deleted": 1, "same": 0}


def test_what_lasts_for_a_moment_is_read_again_and_neither_changed_nor_pruned() -> None:
    library = Library(shelves={"a": {"name": "a", "colour": "red"}}, passing=[{"name": "a", "colour": "fading"}])
    result = run(library, shelves=[{"name": "a", "colour": "red"}], prune=["shelves"])
    assert (result["changed"], result["counts"]["same"]) == (False, 1)


def test_an_export_says_what_it_leaves_out() -> None:
    books = [{"name": "b", "title": "x"}, {"name": "a", "title": "z"}, {"name": "a", "title": "local"}, {"name": "a", "title": "y"}]
    library = Library(shelves={"secret": {"name": "secret"}, "a": {"name": "a"}}, books=books)
    found = run(library, state="exported", portable=True)
    assert found["resources"] == {"shelves": [{"name": "a", "books": 3}], "books": [books[1], books[3], books[0]]}
    assert found["left_out"] == [
        {"list": "shelves", "option": "", "names": ["secret"], "remedy": "ask for it"},
        {"list": "books", "option": "", "names": ["a/local"], "remedy": "copy it"},
    ]
