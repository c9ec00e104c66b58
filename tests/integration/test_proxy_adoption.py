"""A damaged file of the proxy's costs no request: a proxy that serves is taken over by what it shows."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.proxy_harness import ENDPOINT, ProxyHarness, each_haproxy, loaded, stand
from tidegate.domain.admission import Admission
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.proxy.process import _is_running

pytestmark = [pytest.mark.slow, each_haproxy]


def truncated(path: Path) -> None:
    data = path.read_bytes().rstrip(b"\n")
    path.write_bytes(data[: len(data) // 2])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": truncated,
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(os.urandom(4_000)),
    "types": lambda path: path.write_text('{"sizes": [], "pid": "x", "started": {}, "options": 3, "seats": 1}'),
    "fields": lambda path: path.write_text('{"seats": []}'),
    "gone": lambda path: path.unlink(),
}


@dataclass
class Before:
    running: ProxyHarness
    master: int

    async def another_controller(self) -> None:
        self.running.proxy = self.running.another()
        await self.running.proxy.start_or_adopt()
        assert self.running.master == self.master


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_file_restarts_no_proxy(program: str, damage: str) -> None:
    async with stand(program) as running:

        async def say_what_there_is() -> None:
            """The owners of the fleets do so after every start."""
            await running.fleet(1, "a", "b")
            await running.fleet(2, "c", admission=Admission(7, 2.0))
            await running.proxy.ensure()

        await say_what_there_is()
        wanted = await running.share(4, {1: 5_000, 2: 5_000})
        before = Before(running, running.master)
        async with loaded(running.port) as load:
            for names in (["proxy.json"], ["process.json"], ["proxy.json", "process.json"], []):
                for name in names:
                    DAMAGE[damage](running.folder / "proxy" / name)
                await before.another_controller()
                await running.proxy.ensure()
                assert (await running.proxy.view(ENDPOINT)).routes == wanted
                await load.more(50)
                await say_what_there_is()
                await running.share(3, {1: 10_000})  # late
                await load.more(50)
        assert not load.bad
        assert set(load.seen) == {"a", "b", "c"}
        await running.kill()
        await running.proxy.ensure()
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        assert (await running.ask()).status == 200


async def test_what_is_missing_in_an_old_file_is_taken_from_the_proxy(program: str) -> None:
    """Models stay where they are, and a fleet that was dropped leaves nothing behind."""

    async with stand(program, slots={"r": 2, "m": 1}) as running:
        old = running.folder / "proxy" / "proxy.json"
        await running.fleet(1, "a")
        dropped = await running.fleet(9, "x")
        text = old.read_bytes()
        await running.proxy.drop_fleet(dropped)
        many = await running.fleet(2, "b", "c", routing=RoutingStrategy.BY_MODEL)
        wanted = await running.share(3, {2: 10_000})
        numbers = {name: one.number for name, one in (await running.proxy._runtime.servers("m0")).items()}
        old.write_bytes(text)
        await Before(running, running.master).another_controller()
        await running.fleet(2, "b", "c", routing=RoutingStrategy.BY_MODEL)
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        assert {name: one.number for name, one in (await running.proxy._runtime.servers("m0")).items()} == numbers
        assert set(await running.proxy.in_flight(many)) == {"b", "c"}
        await running.proxy.ensure()
        await running.fleet(3, "d")
        assert running.proxy.fleet_in("r1") == FleetId(ENDPOINT, 3, "blue")


async def test_a_proxy_that_does_not_answer_is_replaced_with_all_its_processes(program: str) -> None:
    """Also those that a reload has given another command line. They would keep the port."""

    async with stand(program, slots={"r": 1, "l": 1}) as running:
        await running.fleet(1, "a")
        await running.fleet(2, "b")  # a reload
        wanted = await running.share(1, {1: 10_000})
        master = psutil.Process(running.master)
        workers = master.children()
        for process in workers:
            os.kill(process.pid, signal.SIGSTOP)
        os.kill(master.pid, signal.SIGKILL)
        running.proxy = running.another()
        await running.proxy.start_or_adopt()
        assert not any(_is_running(process) for process in workers)
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        assert {(await running.ask()).body for _ in range(10)} == {b"a"}
