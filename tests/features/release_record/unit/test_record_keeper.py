"""The loop that keeps the record of each rollout that has ended."""

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.memory_store import MemoryStore, MemoryTx
from tests.unit.service.test_deploy import START, run, settle, wish
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.history import HistoryEntry
from tidegate.features.release_record import loop, signing
from tidegate.features.release_record.kinds import RELEASE
from tidegate.features.release_record.loop import RecordKeeper
from tidegate.ports.store import Tx


class StandingClock:
    def now(self) -> datetime:
        return START


def roll_out(tx: Tx, version: str) -> None:
    assert isinstance(tx, MemoryTx)
    run(tx, wish(version), now=START + timedelta(hours=int(version)))
    settle(tx)


async def count_records(store: MemoryStore) -> int:
    return await store.read(lambda tx: len(tx.find(RELEASE).items))


@pytest.mark.anyio
async def test_a_record_that_cannot_be_composed_is_logged_once_and_made_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    keeper = RecordKeeper(store, StandingClock(), tmp_path)
    await store.run(lambda tx: roll_out(tx, "1"))

    def fail(tx: Tx, endpoint: Endpoint, entry: HistoryEntry, now: datetime) -> dict[str, Any]:
        raise ValueError("planted")

    with monkeypatch.context() as planted, caplog.at_level(logging.ERROR):
        planted.setattr(loop, "describe_release", fail)
        await keeper.turn()
        await store.run(lambda tx: roll_out(tx, "2"))
        await keeper.turn()
    assert [one.getMessage() for one in caplog.records] == [
        "the record of a release of endpoint fraud cannot be composed"
    ]
    assert await count_records(store) == 0
    await store.run(lambda tx: roll_out(tx, "3"))
    await keeper.turn()
    assert await count_records(store) == 3


@pytest.mark.anyio
async def test_what_a_lost_key_left_out_is_kept_once_the_key_is_there(tmp_path: Path) -> None:
    store = MemoryStore()
    keeper = RecordKeeper(store, StandingClock(), tmp_path)
    signing.read_public_key(tmp_path)
    (tmp_path / signing.KEY_FILE).chmod(0o644)
    await store.run(lambda tx: roll_out(tx, "1"))
    await keeper.turn()
    assert await count_records(store) == 0
    (tmp_path / signing.KEY_FILE).chmod(0o600)
    await keeper.turn()
    assert await count_records(store) == 1
