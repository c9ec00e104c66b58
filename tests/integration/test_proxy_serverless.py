"""Requests to a serverless fleet whose instances end: they wait for the next one, and no error says another thing."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from tests.proxy_harness import ENDPOINT, PATH, Client, ProxyHarness, Reply, each_haproxy, stand, until, until_it
from tidegate.domain.admission import Admission, Quotas, TokenBucket
from tidegate.domain.fleet import FleetId, RoutingStrategy

pytestmark = each_haproxy
ONE = Admission(max_in_flight=1)
FLEET = FleetId(ENDPOINT, 1, "blue")


async def fleet(running: ProxyHarness, *names: str, admission: Admission = ONE) -> None:
    await running.fleet(1, *names, routing=RoutingStrategy.ON_DEMAND, admission=admission)


async def scene(program: str, play: Callable[[ProxyHarness], Awaitable[None]], **settings: object) -> None:
    async with stand(program, None, **settings) as running:
        await fleet(running, "a")
        await running.share(1, {1: 10_000})
        assert (await running.ask()).body == b"a"
        await play(running)


async def waits(running: ProxyHarness, count: int = 1) -> None:
    """So many requests are in the proxy, and no instance has them."""

    async def there() -> bool:
        return (await running.proxy.demand(FLEET)).now == count

    await until_it(there, f"{count} requests wait")


def told(reply: Reply) -> tuple[int, str | None, str]:
    return reply.status, reply.header("x-amzn-ErrorType"), json.loads(reply.body)["Message"]


async def test_requests_wait_for_the_next_instance_when_the_only_one_has_ended(program: str) -> None:
    """HAProxy learns of its end by them: nobody has told it."""

    async def play(running: ProxyHarness) -> None:
        running.workers["a"].stop()
        asked = [asyncio.create_task(running.ask()) for _ in range(3)]
        await waits(running, 3)
        await fleet(running)
        await waits(running, 3)
        await fleet(running, "b")
        assert [(await one).body for one in asked] == [b"b"] * 3

    await scene(program, play)


async def test_a_request_whose_instance_dies_is_asked_of_the_next_one(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        client = Client(running.port)
        assert (await client.post()).body == b"a"
        asked = asyncio.create_task(client.post(b"hold"))
        await until(lambda: running.workers["a"].holding == 1, "the instance has it")
        running.workers["a"].stop()
        await fleet(running, "b")
        await until(lambda: running.workers["b"].holding == 1, "the next one has it")
        running.workers["b"].release.set()
        assert (await asked).body == b"b"
        await client.close()

    await scene(program, play)


async def test_a_request_that_kills_its_instance_kills_no_more_than_are_tried_and_says_so(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        asked = asyncio.create_task(running.ask(b"die"))
        await until(lambda: running.workers["a"].died > 0, "the first one has died")
        running.workers["a"].stop()
        for name in "bcdefg":
            await fleet(running, name)
        reply = await asked
        assert sum(worker.died for worker in running.workers.values()) <= 3
        if reply.status:  # HAProxy hangs up where the broken connection had been used before
            assert told(reply)[:2] == (424, "ModelError")
            assert "closed the connection, before it answered" in told(reply)[2]

    await scene(program, play)


@pytest.mark.parametrize("known", [True, False], ids=["removed", "refusing"])
async def test_a_request_for_which_none_comes_in_time_is_told_that(program: str, known: bool) -> None:
    async def play(running: ProxyHarness) -> None:
        running.workers["a"].stop()
        if known:
            await fleet(running)
        message = f"No instance of endpoint {ENDPOINT} is ready yet; try again."
        assert told(await running.ask()) == (429, "ModelNotReadyException", message)

    await scene(program, play, invocation_timeout=1)


async def test_only_a_request_that_waited_for_room_is_told_of_the_limit(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        held = asyncio.create_task(running.ask(b"hold"))
        await until(lambda: running.workers["a"].holding == 1, "it is full")
        message = f"Rate exceeded: endpoint {ENDPOINT} has reached its limit of concurrent requests; try again."
        assert told(await running.ask()) == (429, "ThrottlingException", message)
        running.workers["a"].release.set()
        assert (await held).status == 200

    await scene(program, play, queue_timeout=1)


async def test_one_client_gets_every_answer_while_instances_come_and_go(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        client, before = Client(running.port), "a"
        for turn in range(12):
            if turn % 3 == 2:
                running.workers[before].stop()
                asked = asyncio.create_task(client.post())
                await waits(running)
                before = f"i{turn}"
                await fleet(running, before)
                assert (await asked).body == before.encode()
            else:
                assert (await client.post()).body == before.encode()
        await client.close()

    await scene(program, play)


async def test_waiting_costs_no_second_token_and_its_stamp_is_the_first(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        quotas = Quotas(TokenBucket(0.001, 2), header="x-client")
        paying = Admission(max_in_flight=1, quotas=quotas)
        await fleet(running, "a", admission=paying)
        running.workers["a"].stop()
        asked = asyncio.create_task(running.ask(b"head", headers={"X-Client": "me", "X-Tidegate-Start": "1"}))
        await waits(running)
        await fleet(running, "b", admission=paying)
        head = (await asked).body.lower()
        assert head.count(b"x-tidegate-") == 1 and b"x-tidegate-start: 1\r\n" not in head
        assert (await running.ask(headers={"X-Client": "me"})).status == 200
        assert (await running.ask(headers={"X-Client": "me"})).status == 429

    await scene(program, play)


async def test_no_header_of_a_client_passes_for_the_proxy_s_own_on_an_old_connection(program: str) -> None:
    async with stand(program, slots={"r": 1}) as running:
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        client = Client(running.port)
        assert (await client.post()).status == 200
        await running.fleet(2, "b")  # no slot left: a reload
        reply = await client.post(b"head", PATH, {"X-Tidegate-Start": "1", "X-Tidegate-Fleet": "x"})
        assert (
            b"x-tidegate-start: 1\r\n" not in reply.body.lower() and b"x-tidegate-fleet" not in reply.body.lower()
        )
        await client.close()
