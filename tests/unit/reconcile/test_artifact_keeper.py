"""Model data of versions is kept once it is complete, recorded in the history, and removed when it is not needed."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import pytest

from tests.memory_store import MemoryStore, MemoryTx
from tests.unit.service.test_deploy import LATER, endpoint, run, settle, wish
from tidegate.domain.fleet import FleetId
from tidegate.host.clock import SystemClock
from tidegate.ports.store import Kind, Tx
from tidegate.reconcile.artifact_keeper import ArtifactKeeper
from tidegate.service import history
from tidegate.service.record_kinds import ENDPOINT, HISTORY

R = TypeVar("R")


class FakeArtifacts:
    """Keeps the digests that a test gives to fleets."""

    def __init__(self) -> None:
        self.complete: dict[FleetId, tuple[str, ...]] = {}
        self.kept: dict[str, int] = {}
        self.full = False

    def keep(self, fleet: FleetId, containers: int) -> tuple[str, ...] | None:
        if self.full:
            raise OSError(28, "No space left on device")
        found = self.complete.get(fleet)
        self.kept.update(dict.fromkeys(found or (), 10))
        return found

    def verify(self, digest: str) -> bool:
        return digest in self.kept

    def sizes(self) -> Mapping[str, int]:
        return dict(self.kept)

    def retain(self, digests: Collection[str]) -> None:
        self.kept = {digest: size for digest, size in self.kept.items() if digest in digests}


class ReadTx(MemoryTx):
    """Notes what is read."""

    reads: ClassVar[list[str]] = []

    def get(self, kind: Kind[Any], name: str) -> Any:
        self.reads.append(f"{kind.name} {name}")
        return super().get(kind, name)

    def find(self, kind: Kind[Any], *arguments: Any, **options: Any) -> Any:
        self.reads.append(f"all of {kind.name}")
        return super().find(kind, *arguments, **options)


class ReadStore(MemoryStore):
    async def run(self, work: Callable[[Tx], R]) -> R:
        attempt = ReadTx(copy(self._tx.records), copy(self._tx.lines))
        result = work(attempt)
        self._tx = attempt
        return result


class Platform:
    """An endpoint in a store, and a keeper that looks at it."""

    def __init__(self, versions: int = 10, limit: int = 1_000) -> None:
        self.tx = MemoryTx()
        self.artifacts = FakeArtifacts()
        store = ReadStore()
        store._tx = self.tx
        self.store = store
        self.keeper = ArtifactKeeper(store, self.artifacts, SystemClock(), versions, limit)

    def deploy(self, version: str) -> FleetId:
        self.tx = self.store._tx
        run(self.tx, wish(version), now=LATER + timedelta(minutes=int(version)))
        settle(self.tx)
        self.keeper.wake("fraud")
        serving = endpoint(self.tx).serving
        assert serving is not None
        return FleetId("fraud", serving.generation, "main")

    def turn(self) -> set[str]:
        """What it read."""
        ReadTx.reads.clear()
        asyncio.run(self.keeper.turn())
        return set(ReadTx.reads)

    def recorded(self) -> list[Mapping[str, tuple[str, ...]]]:
        return [entry.artifacts for entry in history.read(self.store._tx, "fraud").entries]


def test_data_is_kept_and_recorded_once_it_is_complete() -> None:
    platform = Platform()
    fleet = platform.deploy("1")
    platform.turn()
    assert platform.recorded() == [{}]
    platform.artifacts.complete[fleet] = ("d1",)
    platform.keeper.wake("fraud")
    platform.turn()
    assert platform.recorded() == [{"main": ("d1",)}] and set(platform.artifacts.kept) == {"d1"}


def test_without_news_nothing_is_read() -> None:
    platform = Platform()
    fleet = platform.deploy("1")
    platform.turn()
    platform.artifacts.complete[fleet] = ("d1",)
    platform.turn()
    assert platform.artifacts.kept == {}


def test_old_data_is_removed_beyond_the_number_of_versions() -> None:
    platform = Platform(versions=1)
    for number in ("1", "2", "3"):
        fleet = platform.deploy(number)
        platform.artifacts.complete[fleet] = (f"d{number}",)
        platform.turn()
    assert set(platform.artifacts.kept) == {"d2", "d3"}
    assert platform.recorded()[0] == {"main": ("d1",)}, "the history still says what it was"


def test_data_that_cannot_be_kept_does_not_keep_others_from_it() -> None:
    platform = Platform()
    fleet = platform.deploy("1")

    platform.artifacts.full = True
    platform.turn()
    assert platform.recorded() == [{}] and platform.keeper._troubles == {
        fleet: "[Errno 28] No space left on device"
    }


def others(platform: Platform, count: int) -> None:
    """Further endpoints, with the records of the first."""
    for number in range(count):
        for kind in (ENDPOINT, HISTORY):
            saved: Any = platform.store._tx.get(kind, "fraud")
            body = replace(saved.body, name=f"e{number}") if kind is ENDPOINT else saved.body
            platform.store._tx.put(kind, f"e{number}", body, expect=None, now=LATER)


def test_a_change_of_one_endpoint_reads_that_one_alone() -> None:
    platform = Platform()
    fleet = platform.deploy("1")
    others(platform, 20)
    platform.artifacts.complete[fleet] = ("d1",)
    assert "all of rollout-history" in platform.turn(), "at the start"
    fleet = platform.deploy("2")
    platform.artifacts.complete[fleet] = ("d2",)
    assert platform.turn() == {"endpoint fraud", "rollout-history fraud"}
    assert platform.recorded()[-1] == {"main": ("d2",)}
    assert platform.turn() == set()


def test_before_anything_is_removed_every_history_is_read_again() -> None:
    """Another endpoint may have begun to run from it, and the news of that is still under way."""
    platform = Platform(versions=0)
    platform.artifacts.complete[platform.deploy("1")] = ("d1",)
    platform.turn()
    others(platform, 1)  # it runs from d1
    platform.artifacts.complete[platform.deploy("2")] = ("d2",)
    assert "all of rollout-history" in platform.turn()
    assert set(platform.artifacts.kept) == {"d1", "d2"}
    platform.store._tx.delete(ENDPOINT, "e0", expect=None, now=LATER)
    platform.keeper.wake("e0")
    platform.turn()
    assert set(platform.artifacts.kept) == {"d2"}


def test_what_could_not_be_kept_is_tried_again_when_another_endpoint_changes() -> None:
    platform = Platform()
    fleet = platform.deploy("1")
    platform.artifacts.complete[fleet] = ("d1",)
    platform.artifacts.full = True
    platform.turn()
    platform.artifacts.full = False
    platform.keeper.wake("claims")
    assert "all of rollout-history" not in platform.turn()
    assert platform.recorded() == [{"main": ("d1",)}]


def test_a_turn_that_cannot_read_is_done_again() -> None:
    platform = Platform()
    platform.artifacts.complete[platform.deploy("1")] = ("d1",)
    working = platform.store
    platform.keeper.store = Unavailable()
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            platform.turn()
    platform.keeper.store = working
    platform.turn()
    assert platform.recorded() == [{"main": ("d1",)}]


class Unavailable(MemoryStore):
    async def run(self, work: Callable[[Tx], R]) -> R:
        raise OSError("the database is away")
