"""Model data of versions is kept once it is complete, recorded in the history, and removed when it is not needed."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import timedelta

from tests.unit.service.test_deploy import LATER, endpoint, run, settle, wish
from tidegate.domain.fleet import FleetId
from tidegate.host.clock import SystemClock
from tidegate.reconcile.artifact_keeper import ArtifactKeeper
from tidegate.service import history
from tidegate.testing.memory_store import MemoryStore, MemoryTx


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


class Platform:
    """An endpoint in a store, and a keeper that looks at it."""

    def __init__(self, versions: int = 10, limit: int = 1_000) -> None:
        self.tx = MemoryTx()
        self.artifacts = FakeArtifacts()
        store = MemoryStore()
        store._tx = self.tx
        self.store = store
        self.keeper = ArtifactKeeper(store, self.artifacts, SystemClock(), versions, limit)

    def deploy(self, version: str) -> FleetId:
        self.tx = self.store._tx
        run(self.tx, wish(version), now=LATER + timedelta(minutes=int(version)))
        settle(self.tx)
        self.keeper.wake()
        serving = endpoint(self.tx).serving
        assert serving is not None
        return FleetId("fraud", serving.generation, "main")

    def turn(self) -> None:
        asyncio.run(self.keeper.turn())

    def recorded(self) -> list[Mapping[str, tuple[str, ...]]]:
        return [entry.artifacts for entry in history.read(self.store._tx, "fraud").entries]


def test_data_is_kept_and_recorded_once_it_is_complete() -> None:
    platform = Platform()
    fleet = platform.deploy("1")
    platform.turn()
    assert platform.recorded() == [{}]
    platform.artifacts.complete[fleet] = ("d1",)
    platform.keeper.wake()
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
