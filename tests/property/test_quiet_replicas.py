"""A replica that is not asked since nothing changed hides nothing: a round knows all that was counted before it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.targets.local.local_harness import spec
from tidegate.domain.fleet import FleetId
from tidegate.domain.worker_stats import ACTIVITY, decode_activity
from tidegate.ports.router import PassedRequests
from tidegate.serving.front.activity_mark import ActivityMark
from tidegate.serving.front.request_stats import RequestStats, encode_page
from tidegate.targets.collection.quiet import ASKED_EVERY, QuietReplicas
from tidegate.targets.collection.sources import ServingReplica
from tidegate.targets.collection.stats_page import read_page

START = 1_800_000_000
FLEET = FleetId("fraud", 1, "AllTraffic")
REPLICA = ServingReplica(spec(1, FLEET), "r1", 1, Path("r1"))


class Side:
    """A worker and the collector that follows it, each second shortly after it begins."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / ACTIVITY
        self.stats = RequestStats(ActivityMark(folder))
        self.quiet = QuietReplicas()
        self.quiet.set_load({FLEET: PassedRequests(queue_time=0.0)})
        self.since = START
        self.at = START * 1_000_000
        self.in_flight = 0
        self.counted: dict[int, int] = {}
        self.taken: dict[int, int] = {}
        self.questions = 0

    def mark(self) -> int | None:
        return decode_activity(self.file.read_bytes()) if self.file.exists() else None

    def count(self) -> None:
        self.stats.count(self.at, 200, 1000, 10)
        second = self.at // 1_000_000
        self.counted[second] = self.counted.get(second, 0) + 1

    def round(self, late: int) -> None:
        """The number is read; ``late`` requests are counted before the worker answers."""
        now = self.at // 1_000_000
        mark = self.mark()
        if self.quiet.is_quiet(REPLICA, mark, now):
            assert not self.in_flight, "it counts as idle"
        else:
            for _ in range(late):
                self.count()
            self.questions += 1
            page = self.stats.page("r1", self.at / 1e6, self.in_flight, self.since, now)
            read = read_page(encode_page(page), self.since, now, now, ())
            assert read is not None
            for record in read.records:
                self.taken[record.second] = self.taken.get(record.second, 0) + record.invocations
            self.quiet.note("r1", mark, now, read)
        self.since = now
        assert self.taken == {second: count for second, count in self.counted.items() if second < now}

    def step(self, what: str, amount: int, late: int = 0) -> None:
        if what == "count":
            self.count()
        elif what == "begin":
            self.stats.begin()
            self.in_flight += 1
        elif what == "end" and self.in_flight:
            self.in_flight -= 1
            self.count()
        else:
            begun = self.at // 1_000_000
            self.at += amount
            for second in range(begun + 1, self.at // 1_000_000 + 1):
                end, self.at = self.at, max(second * 1_000_000 + 10_000, 0)
                self.round(late)
                self.at = max(end, self.at)


@contextmanager
def side() -> Iterator[Side]:
    with TemporaryDirectory(prefix="tg-") as folder:
        yield Side(Path(folder))


WAITS = st.sampled_from([1, 250_000, 900_000, 1_000_000, 3_500_000])
STEPS = st.lists(
    st.tuples(st.sampled_from(["count", "begin", "end", "wait", "wait"]), WAITS, st.sampled_from([0, 0, 0, 1])),
    max_size=40,
)


@given(STEPS)
def test_every_round_knows_all_that_was_counted_before_it(steps: list[tuple[str, int, int]]) -> None:
    with side() as one:
        for step in steps:
            one.step(*step)


def test_a_replica_at_rest_is_asked_now_and_then() -> None:
    with side() as one:
        one.step("wait", 60_000_000)
        assert one.questions == 60 / ASKED_EVERY


def test_it_is_asked_in_the_next_round_once_it_counted_something() -> None:
    with side() as one:
        one.step("wait", 2_000_000)
        one.step("count", 0)
        before = one.questions
        one.step("wait", 1_000_000)
        assert one.questions == before + 1


def test_doubt_asks() -> None:
    with side() as one:
        one.step("wait", 1_500_000)
        now = one.at // 1_000_000 + 1
        assert one.quiet.is_quiet(REPLICA, one.mark(), now)
        assert not one.quiet.is_quiet(REPLICA, None, now)
        assert not one.quiet.is_quiet(REPLICA, one.mark(), now - 60)
        for load in (None, *({FLEET: busy} for busy in BUSY)):
            one.quiet.set_load(load)
            assert not one.quiet.is_quiet(REPLICA, one.mark(), now)


BUSY = [
    PassedRequests(in_flight=1, queue_time=0.0),
    PassedRequests(queued=1),
    PassedRequests(down=frozenset({"r1"}), queue_time=0.0),
]


def test_a_number_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    (tmp_path / ACTIVITY).mkdir()
    mark = ActivityMark(tmp_path)
    mark.rise()
    assert not (tmp_path / ACTIVITY).is_file()


def test_a_number_on_a_disk_that_takes_nothing_any_more_is_not_on_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither can its file be emptied or removed, as on one that was mounted anew to be read only."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, "read-only file system")

    stats = RequestStats(ActivityMark(tmp_path))
    assert stats.page("r1", START, 0, START, START)["activity"] == 0
    for name in ("pwrite", "ftruncate", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    stats.count(START * 1_000_000, 500, 1000, 10)
    assert decode_activity((tmp_path / ACTIVITY).read_bytes()) == 0
    assert "activity" not in stats.page("r1", START + 1, 0, START, START + 1)


def test_a_page_is_read_by_somebody_else_in_between() -> None:
    with side() as one:
        one.step("wait", 2_000_000)
        one.step("count", 0)
        msgspec.json.decode(encode_page(one.stats.page("r1", one.at / 1e6, 0, START, START + 1000)))
        one.step("wait", 1_000_000)
