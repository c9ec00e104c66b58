"""The keeper of live runs on a store in memory: it sends what records ask for, and ends what is over."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.gateway_harness import GatewayHarness
from tidegate.console.live_runs.keeper import LiveRuns
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.live_run import LiveRun, Phase
from tidegate.settings import Settings

HOUR = timedelta(hours=1)


def run(work: Callable[[GatewayHarness, LiveRuns], Awaitable[None]], state: Path) -> None:
    async def whole() -> None:
        house = GatewayHarness(Settings(state=state))
        keeper = LiveRuns(house.gateway)
        try:
            await work(house, keeper)
        finally:
            await keeper.close()
            await house.store.close()

    asyncio.run(whole())


def write_requests(keeper: LiveRuns, what: str) -> None:
    lines = [json.dumps({"body": body, "content_type": "text/csv", "headers": {}}) for body in ("1,2", "3,4")]
    (keeper.folder(what) / "requests.jsonl").write_text("\n".join(lines))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


def test_requests_are_sent_in_turn_and_counted_until_somebody_halts_them(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR)
        write_requests(keeper, "lab")
        await keeper.send("lab", [Phase(60, 100)])
        await until(lambda: sum(keeper.counts("lab").answered.values()) >= 4)
        assert keeper.is_sending("lab")
        await keeper.halt("lab")
        assert not keeper.is_sending("lab")
        sent = keeper.counts("lab").sent
        assert [body for _, _, body in house.asked[:4]] == [b"1,2", b"3,4", b"1,2", b"3,4"]
        assert house.asked[0][0] == "/endpoints/shown/invocations"
        assert sum(one.sent for one in keeper.counts("lab").seconds.values()) == sent == len(house.asked)

    run(work, tmp_path)


def test_looks_at_the_records_that_come_together_leave_one_sender(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR)
        write_requests(keeper, "lab")
        await keeper.send("lab", [Phase(600, 100)])
        await keeper.close()
        second = LiveRuns(house.gateway)
        await asyncio.gather(*(second.turn() for _ in range(5)))
        assert second.is_sending("lab")
        await second.halt("lab")
        await until(lambda: sum(second.counts("lab").answered.values()) == second.counts("lab").sent)
        sent = len(house.asked)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await until(lambda: len(house.asked) > sent)
        assert len(house.asked) == sent, "somebody still sends"
        await second.close()

    run(work, tmp_path)


def test_another_process_goes_on_sending_as_the_record_says(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR)
        write_requests(keeper, "lab")
        await keeper.send("lab", [Phase(60, 100)])
        await keeper.close()
        house.asked.clear()
        second = LiveRuns(house.gateway)
        second.start()
        await until(lambda: len(house.asked) > 2)
        await second.close()

    run(work, tmp_path)


def test_a_run_that_lasted_as_long_as_it_may_is_removed_with_its_folder(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        await keeper.begin("lab", "shown", "ann", HOUR)
        write_requests(keeper, "lab")
        house.clock.shift = HOUR
        assert await keeper.turn()
        ended = await keeper.find("lab")
        assert ended is not None and (ended.ended_by, ended.open) == ("the server", False)
        assert not keeper.folder("lab").exists()
        assert not await keeper.turn(), "nothing is open, and the keeper may sleep"

    run(work, tmp_path)


def test_a_run_whose_files_are_gone_does_not_hold_up_another(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        seen: list[str] = []

        async def note(found: LiveRun) -> None:
            seen.append(found.what)

        await keeper.begin("lab", "shown", "ann", HOUR)
        await keeper.begin("peak", "other", "ann", HOUR)
        write_requests(keeper, "lab")
        await keeper.send("lab", [Phase(60, 1)])
        await keeper.close()
        (keeper.folder("lab") / "requests.jsonl").unlink()
        with pytest.raises(Invalid, match="no requests can be read"):
            await keeper.send("lab", [Phase(60, 1)])
        second = LiveRuns(house.gateway, {"peak": note})
        assert await second.turn()
        assert seen == ["peak"]

    run(work, tmp_path)


def test_a_run_that_begins_has_an_empty_folder_and_one_that_is_refused_touches_none(tmp_path: Path) -> None:
    async def work(house: GatewayHarness, keeper: LiveRuns) -> None:
        keeper.folder("lab").mkdir(parents=True)
        (keeper.folder("lab") / "left over").touch()
        begun = await keeper.begin("lab", "shown", "ann", HOUR)
        assert list(keeper.folder("lab").iterdir()) == []
        (keeper.folder("lab") / "kept").touch()
        with pytest.raises(Conflict, match="there is one at a time"):
            await keeper.begin("lab", "shown", "bob", HOUR)
        assert (keeper.folder("lab") / "kept").exists()
        assert await keeper.find("lab") == replace(begun, by="ann")

    run(work, tmp_path)
