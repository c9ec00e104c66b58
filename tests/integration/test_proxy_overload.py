"""Requests for which no server has room wait for a bounded time, are refused then, and are counted."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from tests.proxy_harness import ENDPOINT, PATH, ProxyHarness, Reply, each_haproxy, loaded, stand, until, until_it
from tidegate.domain.admission import Admission
from tidegate.domain.fleet import FleetId, RoutingStrategy

pytestmark = [pytest.mark.slow, each_haproxy]
POOLS = {"r": 4, "l": 4, "m": 2}
BY_MODEL = {"X-Amzn-SageMaker-Target-Model": "acme.tar.gz"}
ROUTINGS = (RoutingStrategy.RANDOM, RoutingStrategy.LEAST_OUTSTANDING_REQUESTS, RoutingStrategy.BY_MODEL)


async def scene(program: str, play: Callable[[ProxyHarness], Awaitable[None]], **settings: object) -> None:
    async with stand(program, POOLS, **settings) as running:
        await play(running)


async def full(running: ProxyHarness, count: int) -> list[asyncio.Task[Reply]]:
    """Requests that the workers keep until they are released; there is no room beyond them."""
    held = [asyncio.create_task(running.ask(b"hold", headers=BY_MODEL)) for _ in range(count)]
    await until(lambda: sum(worker.holding for worker in running.workers.values()) == count, "all held")
    return held


async def released(running: ProxyHarness, held: list[asyncio.Task[Reply]]) -> list[int]:
    for worker in running.workers.values():
        worker.release.set()
    return [reply.status for reply in await asyncio.gather(*held)]


@pytest.mark.parametrize("routing", ROUTINGS)
async def test_what_finds_no_room_in_time_is_refused(program: str, routing: RoutingStrategy) -> None:
    async def play(running: ProxyHarness) -> None:
        tight = Admission(max_in_flight=2, queue_time=0.05)
        fleet = await running.fleet(1, "a", routing=routing, admission=tight)
        await running.share(1, {1: 10_000})
        held = await full(running, 2)
        await running.proxy.passed()
        replies = await asyncio.gather(*(running.ask(headers=BY_MODEL) for _ in range(3)))
        for reply in replies:
            assert (reply.status, reply.header("Retry-After")) == (503, "1")
            assert reply.header("x-amzn-ErrorType") == "ServiceUnavailable"
            assert json.loads(reply.body)["Message"] == (
                f"No instance of endpoint {ENDPOINT} can take the request now; try again."
            )
        load = (await running.proxy.passed())[fleet]
        assert (load.refused, load.unanswered, load.throttled, load.in_flight) == (3, 3, 0, 2)
        assert await released(running, held) == [200, 200]
        assert running.workers["a"].served == 2, "what was refused never reached the worker"

    await scene(program, play)


@pytest.mark.parametrize("routing", ROUTINGS)
async def test_what_waits_is_served_when_there_is_room(program: str, routing: RoutingStrategy) -> None:
    async def play(running: ProxyHarness) -> None:
        patient = Admission(max_in_flight=1, queue_time=30)
        fleet = await running.fleet(1, "a", routing=routing, admission=patient)
        await running.share(1, {1: 10_000})
        held = await full(running, 1)
        waiting = [asyncio.create_task(running.ask(headers=BY_MODEL)) for _ in range(4)]

        async def four_wait() -> bool:
            load = (await running.proxy.passed())[fleet]
            return (load.queued, load.in_flight, load.queue_time) == (4, 1, None)

        await until_it(four_wait, "four requests in the queue, and nothing answered meanwhile")
        assert await released(running, [*held, *waiting]) == [200] * 5
        load = (await running.proxy.passed())[fleet]
        assert (load.refused, load.queued, load.queue_time) == (0, 0, 0.0)

    await scene(program, play)


async def test_a_server_with_room_has_what_the_other_has_none_for(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        least = RoutingStrategy.LEAST_OUTSTANDING_REQUESTS
        await running.fleet(1, "a", "b", routing=least, admission=Admission(max_in_flight=2, queue_time=0.05))
        await running.share(1, {1: 10_000})
        held = await full(running, 4)
        assert {worker.holding for worker in running.workers.values()} == {2}
        assert await released(running, held) == [200] * 4

    await scene(program, play)


async def test_an_openai_client_is_told_in_its_own_way(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await running.fleet(1, "a", admission=Admission(max_in_flight=1, queue_time=0.05))
        await running.share(1, {1: 10_000})
        held = await full(running, 1)
        reply = await running.ask(path=f"/endpoints/{ENDPOINT}/v1/chat/completions")
        error = json.loads(reply.body)["error"]
        assert (reply.status, error["type"], error["code"]) == (503, "server_error", "ServiceUnavailable")
        assert "error" not in json.loads((await running.ask(path=f"{PATH}-response-stream")).body)
        assert await released(running, held) == [200]

    await scene(program, play)


async def test_a_queue_time_is_learnt_without_losing_a_request_and_once(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        tight = Admission(max_in_flight=100, queue_time=0.05)
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        async with loaded(running.port) as load:
            await load.more(50)
            await running.fleet(2, "b", admission=tight)
            await running.share(2, {2: 10_000})
            await load.more(50)
            first = await running.proxy._runtime.pid()
            await running.proxy.drop_fleet(FleetId(ENDPOINT, 1, "blue"))
            await running.fleet(3, "c", admission=tight)
            await running.share(3, {3: 10_000})
            await running.proxy.drop_fleet(FleetId(ENDPOINT, 2, "blue"))

            async def free() -> bool:
                await running.proxy.ensure()
                return not running.proxy._state.emptying

            await until_it(free, "the slots are free")
            third = await running.proxy._runtime.pid()
            await running.fleet(4, "d", admission=tight)
            await running.share(4, {4: 10_000})
            await load.more(50)
            assert await running.proxy._runtime.pid() == third, "a slot that has the queue time is taken again"
        assert not load.bad
        assert first != third

    await scene(program, play)


async def test_a_restarted_controller_knows_what_the_proxy_has_learnt(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await running.fleet(1, "a", admission=Admission(max_in_flight=1, queue_time=0.05))
        await running.share(1, {1: 10_000})
        pid = await running.proxy._runtime.pid()
        second = running.another()
        await second.start_or_adopt()
        assert await running.proxy._runtime.pid() == pid, "nothing to reload it for"
        held = await full(running, 1)
        assert (await running.ask()).status == 503
        assert await released(running, held) == [200]

    await scene(program, play)
