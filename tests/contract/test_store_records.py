"""What ``ports.store`` promises, on the databases and on the store in memory that simulations use."""

import asyncio
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from tests.memory_store import MemoryStore
from tidegate.domain.errors import Invalid
from tidegate.domain.observation import Event
from tidegate.ports.store import Filter, Kind, RecordPage, Stale, Store, Tx
from tidegate.store import open_store

R = TypeVar("R")
T0 = datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Note:
    text: str


NOTE = Kind("note", Note)
OTHER = Kind("other", Note)


class Runner:
    """A store, used from outside an event loop."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __call__(self, work: Callable[[Tx], R]) -> R:
        return asyncio.run(self.store.run(work))

    def put(self, name: str, second: float = 0, kind: Kind[Note] = NOTE, expect: int | None = None) -> int:
        return self(lambda tx: tx.put(kind, name, Note(name), expect=expect, now=at(second)))

    def names(self, where: Filter, limit: int | None = None, after: str | None = None) -> list[str]:
        return [saved.name for saved in self(lambda tx: tx.find(NOTE, where, limit, after)).items]


def at(second: float) -> datetime:
    return T0 + timedelta(seconds=second)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runner]:
    if request.param == "memory":
        store: Store = MemoryStore()
    elif request.param == "sqlite":
        store = open_store(f"sqlite:///{tmp_path / 'tidegate.db'}")
    else:
        store = open_store(request.getfixturevalue("postgres_url"))
    yield Runner(store)
    asyncio.run(store.close())


def test_versions_are_those_of_the_records_that_are_there(run: Runner) -> None:
    for name in ("a", "b", "c"):
        run.put(name)
    run.put("b", kind=OTHER)
    run.put("a")
    run(lambda tx: tx.delete(NOTE, "c", expect=1, now=T0))
    assert run(lambda tx: tx.versions(NOTE)) == {"a": 2, "b": 1}
    assert run(lambda tx: tx.versions(OTHER)) == {"b": 1}


def test_a_record_comes_back_as_it_was_put(run: Runner) -> None:
    assert run(lambda tx: tx.put(NOTE, "a", Note("one"), expect=0, now=at(0.000007))) == 1
    saved = run(lambda tx: tx.get(NOTE, "a"))
    assert saved is not None
    assert (saved.name, saved.body, saved.version) == ("a", Note("one"), 1)
    assert (saved.created_at, saved.modified_at) == (at(0.000007), at(0.000007))


def test_a_second_write_keeps_the_creation_time(run: Runner) -> None:
    run.put("a", 1)
    assert run(lambda tx: tx.put(NOTE, "a", Note("two"), expect=1, now=at(2))) == 2
    saved = run(lambda tx: tx.get(NOTE, "a"))
    assert saved is not None
    assert (saved.body, saved.version, saved.created_at, saved.modified_at) == (Note("two"), 2, at(1), at(2))


def test_equal_names_of_two_kinds_are_two_records(run: Runner) -> None:
    run.put("a")
    assert run(lambda tx: tx.get(OTHER, "a")) is None
    assert run.put("a", kind=OTHER, expect=0) == 1


@pytest.mark.parametrize("expect", [0, 2, 7])
def test_a_write_over_another_version_is_stale(run: Runner, expect: int) -> None:
    run.put("a")
    with pytest.raises(Stale):
        run.put("a", expect=expect)
    with pytest.raises(Stale):
        run(lambda tx: tx.delete(NOTE, "a", expect=expect, now=at(1)))
    assert len(run(lambda tx: tx.journal())) == 1


def test_a_write_over_a_record_that_is_not_there_is_stale(run: Runner) -> None:
    with pytest.raises(Stale):
        run.put("a", expect=1)
    assert run(lambda tx: tx.get(NOTE, "a")) is None


def test_delete_says_whether_it_was_there(run: Runner) -> None:
    run.put("a")
    assert run(lambda tx: tx.delete(NOTE, "a", expect=1, now=at(1))) is True
    assert run(lambda tx: tx.delete(NOTE, "a", expect=None, now=at(2))) is False
    assert run(lambda tx: tx.get(NOTE, "a")) is None


def test_every_write_has_its_line_in_the_journal(run: Runner) -> None:
    told = Event("Created", "made", {"by": "me", "parts": [1, 2.5, None]})
    run(lambda tx: tx.put(NOTE, "a", Note("one"), expect=0, now=at(1), events=[told]))
    run(lambda tx: tx.put(NOTE, "a", Note("two"), expect=1, now=at(2)))
    run(lambda tx: tx.delete(NOTE, "a", expect=2, now=at(3), events=[Event("Gone", "away")]))
    lines = run(lambda tx: tx.journal())
    assert [(line.at, line.kind, line.name, line.version, line.body) for line in lines] == [
        (at(1), "note", "a", 1, {"text": "one"}),
        (at(2), "note", "a", 2, {"text": "two"}),
        (at(3), "note", "a", 3, None),
    ]
    assert [line.events for line in lines] == [(told,), (), (Event("Gone", "away"),)]
    assert lines[0].seq < lines[1].seq < lines[2].seq


def test_an_exception_undoes_the_whole_transaction(run: Runner) -> None:
    run.put("kept")

    def work(tx: Tx) -> None:
        tx.put(NOTE, "a", Note("a"), expect=0, now=at(1))
        tx.delete(NOTE, "kept", expect=None, now=at(1))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(work)
    assert run.names(Filter()) == ["kept"]
    assert [line.name for line in run(lambda tx: tx.journal())] == ["kept"]


def test_a_transaction_sees_its_own_writes(run: Runner) -> None:
    def work(tx: Tx) -> list[str]:
        tx.put(NOTE, "a", Note("a"), expect=0, now=at(1))
        tx.put(NOTE, "a", Note("b"), expect=1, now=at(1))
        return [saved.body.text for saved in tx.find(NOTE).items]

    assert run(work) == ["b"]


def test_the_journal_is_read_in_parts(run: Runner) -> None:
    for second, name in enumerate("abcab"):
        run.put(name, second)
    run.put("a", 5, kind=OTHER)
    lines = run(lambda tx: tx.journal())
    seqs = [line.seq for line in lines]

    def read(**given: object) -> list[int]:
        return [seqs.index(line.seq) for line in run(lambda tx: tx.journal(**given))]  # type: ignore[arg-type]

    assert read() == [0, 1, 2, 3, 4, 5]
    assert read(kind="note", name="a") == [0, 3]
    assert read(kind="other") == [5]
    assert read(newest_first=True, limit=2) == [5, 4]
    assert read(newest_first=True, after=seqs[4], limit=2) == [3, 2]
    assert read(after=seqs[1], limit=2) == [2, 3]
    assert read(since=at(1), until=at(3)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("sort_by", "ascending"),
    [("created", ["b", "a", "c", "d"]), ("modified", ["c", "d", "b", "a"]), ("name", ["a", "b", "c", "d"])],
)
def test_listings_are_sorted_both_ways(run: Runner, sort_by: str, ascending: list[str]) -> None:
    for name, created, modified in (("a", 2, 30), ("b", 1, 20), ("c", 3, 10), ("d", 4, 10)):
        run.put(name, created)
        run.put(name, modified)
    assert run.names(Filter(sort_by=sort_by, descending=False)) == ascending
    assert run.names(Filter(sort_by=sort_by, descending=True)) == ascending[::-1]


def test_names_are_ordered_by_code_point_whatever_the_database_thinks(run: Runner) -> None:
    names = ["a", "B", "_", "a-b", "ab", "Z", "é", "z", "\U0001f30a"]
    for name in names:
        run.put(name)
    assert run.names(Filter(sort_by="name", descending=False)) == sorted(names)
    assert run.names(Filter(sort_by="created", descending=False)) == sorted(names)


def test_name_filters_are_literal(run: Runner) -> None:
    for name in ("a%b", "a_b", "axb", "AXB", "a\\b", "b-a%"):
        run.put(name)

    def matching(**given: str) -> set[str]:
        return set(run.names(Filter(**given)))  # type: ignore[arg-type]

    assert matching(name_contains="%") == {"a%b", "b-a%"}
    assert matching(name_contains="a_") == {"a_b"}
    assert matching(name_contains="xb") == {"axb"}
    assert matching(name_contains="\\") == {"a\\b"}
    assert matching(name_prefix="a%") == {"a%b"}
    assert matching(name_prefix="A") == {"AXB"}
    assert matching(name_contains="b", name_prefix="a") == {"a%b", "a_b", "axb", "a\\b"}
    assert matching(name_contains="nothing") == set()


@pytest.mark.parametrize("last", ["a", "\uffff", "\ud7ff", "\U0010ffff", "\x7f"])
def test_a_prefix_is_found_whatever_its_last_character(run: Runner, last: str) -> None:
    """It is looked up as a range of names, whose end is the next character by code point."""
    inside = [f"p{last}", f"p{last}{last}", f"p{last}z", f"p{last}\U0010ffff", f"p{last}\x01"]
    for name in (*inside, "p", "q", "o", "p\x01", f"o{last}", f"P{last}"):
        run.put(name)
    assert set(run.names(Filter(name_prefix=f"p{last}"))) == set(inside)


def test_a_name_is_found_in_any_case_of_its_ascii_letters(run: Runner) -> None:
    for name in ("Fraud-1", "FRAUD-1", "fraud-10", "fraud_1", "\u00e9", "\u00c9", "\u212a"):
        run.put(name)
    assert set(run.names(Filter(name_in_any_case="fraud-1"))) == {"Fraud-1", "FRAUD-1"}
    assert run.names(Filter(name_in_any_case="\u00e9")) == ["\u00e9"]
    assert run.names(Filter(name_in_any_case="k")) == [], "the Kelvin sign is no ASCII letter"
    assert run.names(Filter(name_in_any_case="%")) == []


def test_time_filters_exclude_their_bounds(run: Runner) -> None:
    for second, name in enumerate("abc"):
        run.put(name, second)
        run.put(name, second + 10)
    assert run.names(Filter(created_after=at(0), created_before=at(2))) == ["b"]
    assert run.names(Filter(modified_after=at(10), modified_before=at(12.000001))) == ["c", "b"]


def pages(run: Runner, where: Filter, size: int, between: Callable[[int], object]) -> list[list[str]]:
    found: list[list[str]] = []
    token: str | None = None
    while True:
        page: RecordPage[Note] = run(lambda tx, after=token: tx.find(NOTE, where, size, after))  # type: ignore[misc]
        found.append([saved.name for saved in page.items])
        token = page.next
        if token is None:
            return found
        between(len(found))


@pytest.mark.parametrize("sort_by", ["created", "modified", "name"])
@pytest.mark.parametrize("descending", [False, True])
def test_pages_show_every_record_once(run: Runner, sort_by: str, descending: bool) -> None:
    for place, name in enumerate(string.ascii_lowercase[:7]):
        run.put(name, place // 3)
    where = Filter(sort_by=sort_by, descending=descending)
    found = pages(run, where, 3, lambda _: None)
    assert [len(page) for page in found] == [3, 3, 1]
    assert [name for page in found for name in page] == run.names(where)


def test_a_listing_that_fits_its_page_has_no_next(run: Runner) -> None:
    assert run(lambda tx: tx.find(NOTE, limit=2)).next is None
    run.put("a")
    run.put("b")
    assert run(lambda tx: tx.find(NOTE, limit=2)).next is None


@pytest.mark.parametrize("token", ["x", "=", "é", "\ud800", "W10", "bnVsbA", "-1e9"])
def test_a_token_that_is_none_is_refused(run: Runner, token: str) -> None:
    run.put("a")
    with pytest.raises(Invalid, match="listing"):
        run(lambda tx: tx.find(NOTE, limit=1, after=token))
