"""Requests that the proxy answered itself are counted once, whatever is restarted, and for whom they are meant."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.proxy_harness import RANDOM, ProxyHarness, each_haproxy, stand, until_it
from tidegate.domain.fleet import FleetId
from tidegate.ports.router import PassedRequests
from tidegate.proxy.counters import FILE
from tidegate.proxy.haproxy import HAProxy
from tidegate.proxy.runtime import Runtime

pytestmark = [pytest.mark.slow, each_haproxy]


async def scene(program: str, play: Callable[[ProxyHarness], Awaitable[None]]) -> None:
    async with stand(program) as running:
        await play(running)


async def counted(proxy: HAProxy, fleet: FleetId) -> PassedRequests:
    load = (await proxy.passed())[fleet]
    return replace(load, in_flight=0, queued=0, queue_time=0.0)


async def fail(running: ProxyHarness, times: int) -> None:
    """Requests that bring down the connection of whoever is asked."""
    for _ in range(times):
        assert (await running.ask(b"die")).status in (424, 503, 0)


async def test_what_fails_before_a_started_proxy_is_given_a_replica_is_the_platforms(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        fleet = await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        assert (await running.ask()).status == 200
        running.workers["a"].stop()
        await running.kill()
        await running.proxy.ensure()
        for _ in range(3):
            assert (await running.ask()).status == 503
        assert await counted(running.proxy, fleet) == PassedRequests(unavailable=3, queue_time=0.0, unserved=True)
        assert (await running.ask()).status == 503
        await running.proxy.set_fleet(fleet, RANDOM, {})
        assert (await running.ask()).status == 503
        await running.fleet(1, "b")
        await fail(running, 2)
        assert await counted(running.proxy, fleet) == PassedRequests(unanswered=2, unavailable=2, queue_time=0.0)
        await running.kill()
        await running.proxy.ensure()
        assert (await counted(running.proxy, fleet)).unserved, "and so after the next start"

    await scene(program, play)


async def test_a_restarted_controller_goes_on_from_what_was_counted(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        fleet = await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        assert (await running.ask()).status == 200
        await fail(running, 2)
        assert (await counted(running.proxy, fleet)).unanswered == 2
        kept = running.folder / "proxy" / FILE

        async def written() -> bool:
            return kept.exists() and str(fleet) in kept.read_text()

        await until_it(written, "the counts are kept")
        await fail(running, 3)
        second = running.another()
        await second.start_or_adopt()
        assert await counted(second, fleet) == PassedRequests(unanswered=3, queue_time=0.0)
        assert await counted(second, fleet) == PassedRequests(queue_time=0.0)
        for damaged in (b"", b"{}", b'{"pid": 1, "slots": {}}', b"\xff" * 100):
            kept.write_bytes(damaged)
            third = running.another()
            await third.start_or_adopt()
            assert await counted(third, fleet) == PassedRequests(queue_time=0.0), "nothing twice"

    await scene(program, play)


async def test_a_reload_loses_nothing_that_was_counted(program: str) -> None:
    async with stand(program, slots={"r": 1, "l": 1}) as running:
        fleet = await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        assert (await running.ask()).status == 200
        await fail(running, 2)
        await running.fleet(2, "b")  # no slot left: a reload
        assert await counted(running.proxy, fleet) == PassedRequests(unanswered=2, queue_time=0.0)
        await fail(running, 1)
        assert await counted(running.proxy, fleet) == PassedRequests(unanswered=1, queue_time=0.0)


async def test_looks_beside_each_other_count_once(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        fleet = await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        assert (await running.ask()).status == 200
        await fail(running, 3)
        found = await asyncio.gather(*(running.proxy.passed() for _ in range(5)))
        assert sum(one[fleet].unanswered for one in found) == 3

    await scene(program, play)


async def test_a_slot_without_requests_is_not_asked_what_was_answered_in_it(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, send = list[str](), Runtime.send_command

    async def noted(runtime: Runtime, command: str) -> str:
        asked.append(command)
        return await send(runtime, command)

    async def play(running: ProxyHarness) -> None:
        first, second = await running.fleet(1, "a"), await running.fleet(2, "b")
        await running.share(1, {1: 10_000})
        for _ in range(2):
            await running.proxy.passed()
        asked.clear()
        assert (await counted(running.proxy, first)).unanswered == 0
        assert not [command for command in asked if "get var" in command]
        await fail(running, 2)
        assert (await counted(running.proxy, first)).unanswered == 2
        slots = running.proxy._state.slots
        words = " ".join(asked)
        assert f"get var proc.{slots[first]};" in words
        assert f"get var proc.{slots[second]};" not in words

    monkeypatch.setattr(Runtime, "send_command", noted)
    await scene(program, play)
