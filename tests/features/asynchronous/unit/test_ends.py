"""How a request ends whose earlier holders died: with its output if one of them stored it, and with a failure
otherwise, never with both."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from tidegate.domain.asynchronous import Item, OutcomeKind
from tidegate.features.asynchronous.dispatcher.calls import ModelClient, interpret
from tidegate.features.asynchronous.dispatcher.concurrency import ConcurrencyLimiter, ConcurrencySlot
from tidegate.features.asynchronous.dispatcher.objects import Objects
from tidegate.features.asynchronous.dispatcher.outcomes import Notifier
from tidegate.features.asynchronous.dispatcher.processor import RequestProcessor
from tidegate.queueing.transitions import MAX_LOSSES, FaultKind
from tidegate.storage.output_files import OutputFiles
from tidegate.store import open_store
from tidegate.store.queue import SqlQueue


@dataclass
class Case:
    queue: SqlQueue
    processor: RequestProcessor
    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "a.out"

    @property
    def failure(self) -> Path:
        return self.folder / "a-error.out"

    async def die(self, times: int) -> None:
        """Holders that lease the request and are never heard of again."""
        now = time.time()
        item = Item("a", "fraud", "a", now, now + 60, 30, self.output.as_uri(), self.failure.as_uri())
        await self.queue.accept(lambda tx: item, b"1,2")
        for _ in range(times):
            assert await self.queue.claim("fraud", 1, now, now - 1)

    async def take_up(self, exists: bool) -> OutcomeKind:
        """The next holder does what is to be done."""
        now = time.time()
        [held] = await self.queue.claim("fraud", 1, now, now + 60)
        slot = ConcurrencySlot(ConcurrencyLimiter(lambda: None), now + 60)
        await self.processor.process(held, exists, "AllTraffic", slot)
        row = await self.queue.row("a")
        assert row is not None and row.outcome is not None
        return row.outcome.end


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    store = open_store(f"sqlite:///{tmp_path / 'tidegate.db'}")
    try:
        folder, outputs = tmp_path / "outputs", OutputFiles([tmp_path / "outputs"])
        folder.mkdir()
        queue, nobody = SqlQueue(store.database), cast(ModelClient, None)
        objects = Objects(outputs, None, "", "us-east-1", 1024)
        notices = cast(Notifier, None)
        yield Case(queue, RequestProcessor(queue, nobody, objects, notices, tmp_path, "us-east-1"), folder)
    finally:
        await store.close()


@pytest.mark.parametrize(("deaths", "exists"), [(1, False), (MAX_LOSSES + 1, True)], ids=["no endpoint", "deaths"])
async def test_stored_output_is_the_end(case: Case, deaths: int, exists: bool) -> None:
    await case.die(deaths)
    case.output.write_bytes(b"0.7")
    assert await case.take_up(exists) is OutcomeKind.COMPLETED
    assert case.output.read_bytes() == b"0.7"
    assert not case.failure.exists()


@pytest.mark.parametrize(("deaths", "exists"), [(1, False), (MAX_LOSSES + 1, True)], ids=["no endpoint", "deaths"])
async def test_failure_is_stored_where_no_output_is(case: Case, deaths: int, exists: bool) -> None:
    await case.die(deaths)
    assert await case.take_up(exists) is OutcomeKind.FAILED
    assert case.failure.exists()
    assert not case.output.exists()


@pytest.mark.parametrize("status", [400, 424, 500, 503])
def test_a_reason_with_half_a_surrogate_pair_can_be_recorded(status: int) -> None:
    body = b'{"Message": "no \\ud800 such", "OriginalStatusCode": 400}'
    assert interpret(status, body).reason.encode() == b"no ? such"


def test_a_reason_keeps_its_letters() -> None:
    failed = interpret(424, '{"Message": "für 😀", "OriginalStatusCode": 503}'.encode())
    assert (failed.fault, failed.reason) == (FaultKind.SERVER_ERROR, "für 😀")
