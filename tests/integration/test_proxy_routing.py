"""Where a prediction goes: splits, swaps of whole tables, variants by name, fences."""

import asyncio
import math
from collections import Counter

import pytest

from tests.proxy_harness import ENDPOINT, PATH, RANDOM, Client, ProxyHarness, each_haproxy, loaded, stand
from tidegate.domain.errors import TargetRefused, Transient
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import Route, RouteTable, build_route_table
from tidegate.ports.router import View

pytestmark = each_haproxy
CHANCE = 1e-12
"""Probability at most of a split by chance that a check takes for a wrong one."""


async def split(running: ProxyHarness, requests: int) -> Counter[str]:
    seen: Counter[str] = Counter()

    async def some(client: Client) -> None:
        for _ in range(requests // 8):
            reply = await client.post()
            assert reply.status == 200, reply
            seen[reply.body.decode()] += 1
        await client.close()

    await asyncio.gather(*(some(Client(running.port)) for _ in range(8)))
    return seen


def fits(count: int, share: int, total: int) -> bool:
    """Whether chance gives so many of ``total`` requests at this share, by Bernstein's inequality."""
    part, log = share / 10_000, math.log(2 / CHANCE)
    variance = total * part * (1 - part)
    bound = log / 3 + math.sqrt((log / 3) ** 2 + 2 * log * variance) if variance else 0
    return abs(count - total * part) <= bound


async def test_requests_are_split_by_the_shares(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        await running.fleet(2, "b")
        for fence, share in enumerate((10_000, 9_000, 7_500, 5_000, 0)):
            shares = {1: share, 2: 10_000 - share}
            wanted = await running.share(fence, {g: s for g, s in shares.items() if s})
            seen = await split(running, 1600)
            assert fits(seen["a"], share, 1600), (share, seen)
            view = await running.proxy.view(ENDPOINT)
            assert view.routes == wanted
            nothing = View(RouteTable("other", 0), {})
            assert await running.proxy.views([ENDPOINT, "other"]) == {ENDPOINT: view, "other": nothing}


async def test_chance_assigns_each_request_by_itself(program: str) -> None:
    """Whether two requests go to the same version is a fair coin, too, independent of that of any other two as far
    apart. So it is for requests that are sent in a circle, and for those before and after a restart."""
    async with stand(program) as running:
        await running.fleet(1, "a")
        await running.fleet(2, "b")
        await running.share(1, {1: 5_000, 2: 5_000})

        async def ask(requests: int) -> list[bytes]:
            client = Client(running.port)
            seen = [(await client.post()).body for _ in range(requests)]
            await client.close()
            assert set(seen) == {b"a", b"b"}
            return seen

        first = await ask(1_200)
        await running.kill()
        await running.proxy.ensure()
        pairs = {distance: (first, first[distance:]) for distance in range(1, 200)}
        pairs[0] = (first, await ask(1_000))
        for distance, (some, others) in pairs.items():
            equal = [one == other for one, other in zip(some, others, strict=False)]
            assert fits(sum(equal), 5_000, len(equal)), distance


async def test_twenty_fleets_share_one_endpoint(program: str) -> None:
    async with stand(program, slots={"r": 20, "l": 1}) as running:
        for generation in range(1, 21):
            await running.fleet(generation, f"w{generation}")
        shares = {generation: 300 if generation % 2 else 700 for generation in range(1, 21)}
        wanted = await running.share(1, shares)
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        seen = await split(running, 4000)
        for generation, share in shares.items():
            assert fits(seen[f"w{generation}"], share, 4000), (generation, seen)


async def test_tables_are_swapped_whole_under_load(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        await running.fleet(2, "b")
        await running.share(1, {1: 10_000})
        async with loaded(running.port) as load:
            for fence in range(2, 60):
                await running.share(fence, {1: 10_000 - 150 * fence, 2: 150 * fence})
                await load.more(5)
            await running.share(60, {2: 10_000})
            await load.more(8 + 1)  # those that were on their way, one per client at most
            before = load.seen["a"]
            await load.more(200)
            assert load.seen["a"] == before
        assert not load.bad


async def test_a_request_may_name_its_variant(program: str) -> None:
    async with stand(program) as running:
        for name in ("blue", "green"):
            await running.worker(name)
            fleet = FleetId(ENDPOINT, 1, name)
            await running.proxy.set_fleet(fleet, RANDOM, {name: running.folder / name})
        await running.proxy.set_routes(build_route_table(ENDPOINT, 1, [(1, 10_000, {"blue": 1.0, "green": 0.0})]))
        # A variant of weight 0 has no share of its endpoint, and answers when it is named.
        routes = (Route(FleetId(ENDPOINT, 1, "blue"), 10_000),)
        green = (Route(FleetId(ENDPOINT, 1, "green"), 10_000),)
        await running.proxy.set_routes(RouteTable(ENDPOINT, 2, routes, {"blue": routes, "green": green}))
        for name in ("blue", "green", "blue"):
            reply = await running.ask(headers={"X-Amzn-SageMaker-Target-Variant": name})
            assert (reply.status, reply.body) == (200, name.encode())
        assert (await running.ask()).body == b"blue"
        for name in ("red", f"green{PATH}", 'gr"een', "blue/../green", "blué"):
            reply = await running.ask(headers={"X-Amzn-SageMaker-Target-Variant": name})
            assert (reply.status, reply.header("x-amzn-ErrorType")) == (400, "ValidationError"), name
        # An empty one is none, as for every header that AWS's clients send empty.
        assert (await running.ask(headers={"X-Amzn-SageMaker-Target-Variant": ""})).body == b"blue"
        assert (await running.ask(path=f"green{PATH}")).status in (400, 503)
        await running.proxy.set_routes(RouteTable(ENDPOINT, 3, routes, {"blue": routes}))
        reply = await running.ask(headers={"X-Amzn-SageMaker-Target-Variant": "green"})
        assert reply.status == 400
        assert (await running.proxy.view(ENDPOINT)).routes == RouteTable(ENDPOINT, 3, routes, {"blue": routes})


async def test_a_late_table_is_dropped_and_an_equal_fence_completes(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        await running.fleet(2, "b")
        wanted = await running.share(7, {2: 10_000})
        await running.share(6, {1: 10_000})
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        await running.share(7, {2: 10_000})
        assert ((await running.proxy.view(ENDPOINT)).routes, (await running.ask()).body) == (wanted, b"b")


async def test_an_empty_table_takes_the_endpoint_off_and_its_name_may_come_back(program: str) -> None:
    async with stand(program) as running:
        fleet = await running.fleet(1, "a")
        await running.share(9, {1: 10_000})
        with pytest.raises(Transient, match="still has routes"):
            await running.proxy.drop_fleet(fleet)
        await running.proxy.set_routes(RouteTable(ENDPOINT, 10))
        assert (await running.proxy.view(ENDPOINT)).routes == RouteTable(ENDPOINT, 0)
        assert (await running.ask()).status == 503  # the controller's to answer, and none is there
        await running.share(1, {1: 10_000})
        assert (await running.ask()).body == b"a"


async def test_least_outstanding_requests_avoids_the_busy_server(program: str) -> None:
    async with stand(program) as running:
        least = RoutingStrategy.LEAST_OUTSTANDING_REQUESTS
        fleet = await running.fleet(1, "a", "b", routing=least)
        await running.share(1, {1: 10_000})
        held = asyncio.create_task(running.ask(b"hold"))
        while not (busy := [w for w in running.workers.values() if w.holding]):
            await asyncio.sleep(0.005)
        free = "b" if busy[0].name == "a" else "a"
        assert {(await running.ask()).body.decode() for _ in range(20)} == {free}
        assert await running.proxy.in_flight(fleet) == {busy[0].name: 1, free: 0}
        busy[0].release.set()
        assert (await held).body == busy[0].name.encode()


async def test_what_cannot_be_routed_is_refused_before_anything_changes(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        wanted = await running.share(1, {1: 10_000})
        with pytest.raises(TargetRefused, match="not known to the proxy"):
            await running.share(2, {5: 10_000})
        for endpoint in ("x; disable server r0/a", "x\nshow info", "x y", "x|1", "../x", "", "é"):
            with pytest.raises(TargetRefused, match="cannot be routed"):
                await running.proxy.set_routes(RouteTable(endpoint, 1))
            with pytest.raises(TargetRefused, match="cannot be routed"):
                await running.proxy.set_fleet(FleetId(endpoint, 1, "blue"), RANDOM, {})
        for replica, path in (
            ("a b", "/tmp/x"),
            ("a;quit", "/tmp/x"),
            ("a", "/tmp/x y"),
            ("a", "/tmp/x;quit"),
        ):
            with pytest.raises(TargetRefused, match="characters"):
                await running.proxy.set_fleet(FleetId("e", 1, "v"), RANDOM, {replica: running.folder / path})
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        assert (await running.ask()).status == 200
