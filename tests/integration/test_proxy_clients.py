"""Clients that stay on one version of a rollout by a hash of a header, and the mark of requests that are no unit."""

from collections import Counter

from tests.client_numbers import client_number
from tests.proxy_harness import ENDPOINT, Client, ProxyHarness, each_haproxy, stand
from tidegate.domain.traffic import Stickiness, build_route_table
from tidegate.serving.front.compared_counts import REPEAT

pytestmark = each_haproxy
CLIENTS = [f"client {number}" for number in range(60)]


async def shift(running: ProxyHarness, fence: int, share: int, floor: int, header: str = "X-Client") -> None:
    sides = [(2, share, {"blue": 1.0}), (1, 10_000 - share, {"blue": 1.0})]
    stick = Stickiness(header.lower(), "r1", floor)
    wanted = build_route_table(ENDPOINT, fence, sides, stick)
    await running.proxy.set_routes(wanted)
    assert (await running.proxy.view(ENDPOINT)).routes == wanted


async def who(client: Client, name: str, header: str = "X-Client") -> str:
    return (await client.post(headers={header: name})).body.decode()


async def is_repeat(client: Client, headers: dict[str, str]) -> bool:
    return REPEAT in (await client.post(b"head", headers=headers)).body.lower()


async def test_a_client_stays_where_its_hash_puts_it_while_the_share_grows(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "old")
        await running.fleet(2, "new")
        client = Client(running.port)
        for fence, (floor, share) in enumerate(((0, 2_500), (2_500, 5_000), (5_000, 9_900)), 1):
            await shift(running, fence, share, floor)
            for name in CLIENTS:
                expected = "new" if client_number(name, "r1") < share else "old"
                assert {await who(client, name) for _ in range(2)} == {expected}, (name, share)
        await client.close()


async def test_requests_without_the_header_are_drawn_and_other_headers_are_learned(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "old")
        await running.fleet(2, "new")
        await shift(running, 1, 5_000, 0, "X-Tenant")
        client = Client(running.port)
        for header in ({}, {"X-Tenant": ""}, {"X-Client": "client 1"}):
            seen = Counter([(await client.post(headers=header)).body for _ in range(100)])
            assert set(seen) == {b"old", b"new"}
        for name in CLIENTS:
            assert await who(client, name, "x-tenant") == ("new" if client_number(name, "r1") < 5_000 else "old")
        await client.close()


async def test_a_client_counts_once_in_a_stage_that_assigns_it(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "old")
        await running.fleet(2, "new")
        client = Client(running.port)
        for fence, (floor, share) in enumerate(((0, 2_500), (2_500, 5_000)), 1):
            await shift(running, fence, share, floor)
            for name in CLIENTS:
                first = await is_repeat(client, {"X-Client": name})
                assert first == (client_number(name, "r1") < floor), (name, floor)
                assert await is_repeat(client, {"X-Client": name, REPEAT.decode(): "0"})
        # The same stage under a later fence, as after the traffic was withdrawn: nobody counts again.
        await shift(running, 3, 5_000, 2_500)
        assert all([await is_repeat(client, {"X-Client": name}) for name in CLIENTS])
        # Of requests without the header those count that the stage assigns: about three quarters.
        drawn = Counter([await is_repeat(client, {REPEAT.decode(): "1"}) for _ in range(200)])
        assert 20 < drawn[True] < 90
        head = (await client.post(b"head", headers={"X-Client": CLIENTS[0]})).body.lower().rstrip()
        assert head.split(b"\r\n")[-1].startswith(b"x-tidegate-start: ")
        await client.close()
