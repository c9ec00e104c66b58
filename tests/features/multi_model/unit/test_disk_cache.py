"""Replicas share prepared models: one replaces a version while others read it, and takes none that nobody tried."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tidegate.domain.errors import Transient
from tidegate.features.multi_model.worker.crashes import Crashes
from tidegate.features.multi_model.worker.disk_cache import GOOD, NEXT, CachedModel, DiskCache, place
from tidegate.features.multi_model.worker.loading import Loader, ModelContainer
from tidegate.features.multi_model.worker.model_entry import ModelEntry
from tidegate.features.multi_model.worker.repository import ModelRepository
from tidegate.serving.artifacts.fetch import Policy
from tidegate.serving.contract.catalogue import RuntimeKind

KEY = "abcdef"


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "models")


def put(cache: DiskCache, which: str, mark: str) -> None:
    """A version as a builder leaves it."""
    partial = cache.folder / f"{mark}.partial"
    (partial / "model").mkdir(parents=True)
    (partial / "mark").write_text(mark)
    (partial / "model" / "weights").write_text(mark)
    place(partial, cache.path(KEY, which))


def marks(cache: DiskCache) -> list[str]:
    found = [cache.find(KEY, which) for which in (GOOD, NEXT)]
    return [one.mark if one is not None else "" for one in found]


def test_a_newer_version_that_nobody_tried_is_not_promoted_in_place_of_the_tried_one(cache: DiskCache) -> None:
    put(cache, GOOD, "v1")
    put(cache, NEXT, "v2")
    cache.promote(KEY, "v2")  # by another replica, which finds v3 at once
    put(cache, NEXT, "v3")
    cache.promote(KEY, "v2")
    assert marks(cache) == ["v2", "v3"]
    cache.refuse(KEY, "v2")
    assert marks(cache) == ["v2", "v3"], "what is refused is v2"
    cache.refuse(KEY, "v3")
    assert marks(cache) == ["v2", ""]


def test_replicas_that_promote_at_once_leave_one_good_version_and_no_old_files(cache: DiskCache) -> None:
    for number in range(1, 30):
        put(cache, GOOD, f"v{number}")
        put(cache, NEXT, f"v{number}b")
        threads = [Thread(target=cache.promote, args=(KEY, f"v{number}b")) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert marks(cache) == [f"v{number}b", ""]
    left = [path.name for path in cache.path(KEY, GOOD).parent.iterdir()]
    assert left == [f"{KEY}.{GOOD}"]


def test_a_version_that_moved_is_found_under_its_new_name(cache: DiskCache) -> None:
    put(cache, NEXT, "v2")
    found = cache.find(KEY, NEXT)
    assert found is not None and cache.find_again(found) == found
    cache.promote(KEY, "v2")
    moved = cache.find_again(found)
    assert moved is not None and moved.identity == found.identity and moved.path == cache.path(KEY, GOOD)
    cache.forget(KEY)
    assert cache.find_again(found) is None


@dataclass
class Read:
    """An engine that knows what its files said."""

    text: str
    closed: bool = False

    async def close(self) -> None:
        self.closed = True


class Reading:
    """Opens a model, and lets somebody replace its version between two of its files."""

    def __init__(self, cache: DiskCache, newer: list[str]) -> None:
        self.cache, self.newer, self.made = cache, newer, list[Read]()

    async def __call__(self, folder: str) -> Any:
        began = (Path(folder) / "weights").read_text()
        if self.newer:
            put(self.cache, GOOD, self.newer.pop(0))
        self.made.append(Read(began + (Path(folder) / "weights").read_text()))
        return self.made[-1]


@pytest.fixture
async def crashes(tmp_path: Path) -> AsyncIterator[Crashes]:
    made = Crashes(tmp_path / "crashes", "r")
    yield made
    made.close()


async def load(tmp_path: Path, crashes: Crashes, reading: Any, cache: DiskCache, kept: CachedModel) -> Any:
    container = ModelContainer(RuntimeKind.SKLEARN, {}, reading)
    source = ModelRepository(tmp_path.as_uri(), Policy(()))
    loader = Loader(container, source, cache, crashes, 1)
    try:
        return await loader.load(ModelEntry("a", KEY), kept)
    finally:
        await loader.close()


@pytest.mark.parametrize("replaced", [1, 2])
async def test_a_version_that_is_replaced_while_it_is_read_is_read_anew(
    tmp_path: Path, cache: DiskCache, crashes: Crashes, replaced: int
) -> None:
    put(cache, GOOD, "v1")
    kept = cache.find(KEY)
    assert kept is not None
    reading = Reading(cache, [f"v{number + 2}" for number in range(replaced)])
    loaded = await load(tmp_path, crashes, reading, cache, kept)
    last = f"v{replaced + 1}"
    assert (loaded.mark, loaded.engine.text) == (last, last + last), "files of one version, under its own mark"
    assert [one.closed for one in reading.made] == [True] * replaced + [False]


async def test_a_version_that_is_replaced_again_and_again_is_asked_for_later(
    tmp_path: Path, cache: DiskCache, crashes: Crashes
) -> None:
    put(cache, GOOD, "v1")
    kept = cache.find(KEY)
    assert kept is not None
    with pytest.raises(Transient, match="replaced while they were read"):
        await load(tmp_path, crashes, Reading(cache, ["v2", "v3", "v4", "v5"]), cache, kept)


async def test_a_model_that_cannot_be_read_says_so_at_once(
    tmp_path: Path, cache: DiskCache, crashes: Crashes
) -> None:
    put(cache, GOOD, "v1")
    kept = cache.find(KEY)
    assert kept is not None
    tried = list[str]()

    async def broken(folder: str) -> Any:
        tried.append(folder)
        raise ValueError("no model")

    with pytest.raises(ValueError, match="no model"):
        await load(tmp_path, crashes, broken, cache, kept)
    assert len(tried) == 1


async def test_a_model_that_is_forgotten_while_it_is_read_is_asked_for_later(
    tmp_path: Path, cache: DiskCache, crashes: Crashes
) -> None:
    put(cache, GOOD, "v1")
    kept = cache.find(KEY)
    assert kept is not None

    async def gone(folder: str) -> Any:
        cache.forget(KEY)
        return Read((Path(folder) / "weights").read_text())

    with pytest.raises(Transient):
        await load(tmp_path, crashes, gone, cache, kept)
