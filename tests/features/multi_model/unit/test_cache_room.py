"""Room for models: who may go for whom, and what is too large."""

import asyncio
from unittest.mock import create_autospec

import pytest

from tidegate.features.multi_model.worker.cache import Cache, ModelTooLarge
from tidegate.features.multi_model.worker.config import MultiModelConfig
from tidegate.features.multi_model.worker.model_entry import LoadedVersion, ModelEntry
from tidegate.host import memory
from tidegate.serving.scoring.batching import Batcher

BUDGET = 1000
FAR_MORE = 10**9
"""Bytes that the process grew by, in fragments and libraries."""


def cache(monkeypatch: pytest.MonkeyPatch, *, pinned: str = "") -> Cache:
    """In a process that grows by far more than its models were measured to take."""
    monkeypatch.setattr(memory, "resident", lambda: 0)
    made = Cache(MultiModelConfig(BUDGET, frozenset(filter(None, [pinned])), minimum_stay=0.0), lambda _: None)
    monkeypatch.setattr(memory, "resident", lambda: FAR_MORE)
    return made


def loaded(cache: Cache, name: str, size: int) -> ModelEntry:
    client = cache.entry(name, lambda name: name)
    cache.put(client, LoadedVersion(create_autospec(Batcher), "mark", size, 0.0, native=False), 0.0)
    return client


async def take(cache: Cache, need: int, beside: ModelEntry | None = None) -> None:
    async with asyncio.timeout(300), cache.room(need, lambda: 1.0, beside=beside):
        pass


async def test_a_model_that_fits_alone_is_not_too_large_while_others_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = cache(monkeypatch)
    others = [loaded(models, "a", 100), loaded(models, "b", 100)]
    await take(models, 950)
    assert [one.copy for one in others] == [None, None]


async def test_what_fits_beside_others_leaves_them_there(monkeypatch: pytest.MonkeyPatch) -> None:
    models = cache(monkeypatch)
    other = loaded(models, "a", 100)
    await take(models, 700)
    assert other.copy is not None


@pytest.mark.parametrize(("pinned", "need"), [("", BUDGET + 1), ("a", BUDGET * 4 // 5 - 99)])
async def test_what_never_fits_is_too_large(monkeypatch: pytest.MonkeyPatch, pinned: str, need: int) -> None:
    models = cache(monkeypatch, pinned=pinned)
    loaded(models, "a", 100)
    with pytest.raises(ModelTooLarge):
        await take(models, need)


async def test_a_new_version_takes_no_room_from_the_one_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    models = cache(monkeypatch)
    client, other = loaded(models, "a", 300), loaded(models, "b", 300)
    await take(models, 300, beside=client)
    assert client.copy is not None and other.copy is None
    with pytest.raises(ModelTooLarge):
        await take(models, 800, beside=client)
