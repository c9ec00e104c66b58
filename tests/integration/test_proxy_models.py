"""Where a request for one of many models goes: to the instance that holds it, whatever happens around."""

import asyncio
from collections import Counter, defaultdict

import pytest

from tests.proxy_harness import Client, ProxyHarness, each_haproxy, loaded, stand, until
from tidegate.domain.fleet import FleetId, RoutingStrategy

pytestmark = [pytest.mark.slow, each_haproxy]
BY_MODEL = RoutingStrategy.BY_MODEL
MODELS = [f"client-{number}.tar.gz" for number in range(300)]
TARGET = "X-Amzn-SageMaker-Target-Model"


async def homes(running: ProxyHarness, models: list[str] = MODELS) -> dict[str, str]:
    """Model -> the instance that answers for it; asked one after the other. A proxy that has just been reloaded or
    started may close a connection or say 503 once: that is tested elsewhere."""
    client, found = Client(running.port), {}
    for model in models:
        reply = await client.post(headers={TARGET: model})
        if reply.status in (0, 503):
            reply = await client.post(headers={TARGET: model})
        assert reply.status == 200, reply
        found[model] = reply.body.decode()
    await client.close()
    return found


async def fleet(running: ProxyHarness, *names: str) -> FleetId:
    return await running.fleet(1, *names, routing=BY_MODEL)


def moved(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {model: (home, after[model]) for model, home in before.items() if home != after[model]}


async def test_each_model_has_a_home_and_each_instance_its_part(program: str) -> None:
    async with stand(program) as running:
        await fleet(running, "a", "b", "c")
        await running.share(1, {1: 10_000})
        first = await homes(running)
        assert await homes(running) == first
        parts = Counter(first.values())
        assert all(70 <= parts[name] <= 130 for name in "abc"), parts


async def test_one_more_instance_takes_its_part_and_moves_no_other_model(program: str) -> None:
    async with stand(program) as running:
        await fleet(running, "a", "b", "c")
        await running.share(1, {1: 10_000})
        three = await homes(running)
        await fleet(running, "a", "b", "c", "d")
        await until_used(running, "d")
        four = await homes(running)
        gone = moved(three, four)
        assert all(after == "d" for _, after in gone.values())
        assert 45 <= len(gone) <= 105, len(gone)  # a quarter of 300, give or take
        await fleet(running, "a", "b", "c")
        assert await homes(running) == three


async def test_one_that_replaces_a_dead_instance_takes_exactly_its_models(program: str) -> None:
    async with stand(program) as running:
        await fleet(running, "a", "b", "c")
        await running.share(1, {1: 10_000})
        before = await homes(running)
        running.workers["b"].stop()
        await fleet(running, "a", "c")
        without = await homes(running)
        assert {before[model] for model in moved(before, without)} == {"b"}
        await fleet(running, "a", "c", "new")
        await until_used(running, "new")
        after = await homes(running)
        assert after == {model: "new" if home == "b" else home for model, home in before.items()}


async def test_one_that_comes_while_another_is_drained_moves_no_model_between_the_rest(program: str) -> None:
    async with stand(program) as running:
        await fleet(running, "a", "b", "c")
        await running.share(1, {1: 10_000})
        before = await homes(running)
        holder = Client(running.port)
        held = asyncio.create_task(holder.post(b"hold", headers={TARGET: _of(before, "b")}))
        await until(lambda: running.workers["b"].holding == 1, "a request in flight")
        await fleet(running, "a", "c", "new")
        await until_used(running, "new")
        gone = moved(before, await homes(running))
        assert all(home == "b" or after == "new" for home, after in gone.values()), gone
        running.workers["b"].release.set()
        assert (await held).status == 200
        await holder.close()


async def test_neither_a_reload_nor_the_death_of_the_proxy_moves_a_model(program: str) -> None:
    async with stand(program, slots={"r": 1, "l": 1, "m": 1}) as running:
        await fleet(running, "a", "b", "c")
        await fleet(running, "a", "c")
        await fleet(running, "a", "c", "d")  # the file has another order than the places
        await running.share(1, {1: 10_000})
        await until_used(running, "d")
        before = await homes(running)
        await running.fleet(2, "x", routing=BY_MODEL)  # no slot is left for it: the proxy reloads
        assert running.proxy._state.sizes["m"] == 2
        assert await homes(running) == before
        await running.kill()
        await running.proxy.ensure()
        assert await homes(running) == before


async def test_a_dead_instance_costs_no_request(program: str) -> None:
    async with stand(program) as running:
        await fleet(running, "a", "b", "c")
        await running.share(1, {1: 10_000})
        before = await homes(running)
        running.workers["b"].stop()
        after = await homes(running)
        assert {before[model] for model in moved(before, after)} == {"b"}
        assert set(after.values()) == {"a", "c"}


async def test_a_model_that_many_ask_for_at_once_gets_more_instances(program: str) -> None:
    async with stand(program) as running:
        await fleet(running, "a", "b", "c", "d")
        await running.share(1, {1: 10_000})
        clients = [Client(running.port) for _ in range(40)]
        asked = [asyncio.create_task(one.post(b"hold", headers={TARGET: MODELS[0]})) for one in clients]
        workers = list(running.workers.values())
        await until(lambda: sum(worker.holding for worker in workers) == 40, "40 requests in flight")
        busy = [worker.name for worker in workers if worker.holding]
        assert len(busy) >= 2, busy
        for worker in workers:
            worker.release.set()
        assert Counter(reply.status for reply in await asyncio.gather(*asked)) == {200: 40}
        # With the crowd gone the model has one home again.
        seen: dict[str, set[bytes]] = defaultdict(set)
        for client in clients[:5]:
            seen[MODELS[0]].add((await client.post(headers={TARGET: MODELS[0]})).body)
        assert len(seen[MODELS[0]]) == 1
        for client in clients:
            await client.close()


async def test_requests_without_a_model_go_anywhere(program: str) -> None:
    async with stand(program) as running:
        await fleet(running, "a", "b")
        await running.share(1, {1: 10_000})
        async with loaded(running.port, clients=2) as load:
            await load.more(40)
        assert not load.bad
        assert set(load.seen) == {"a", "b"}


async def until_used(running: ProxyHarness, name: str) -> None:
    """Until the instance passes its checks, which a new one has to before it gets requests."""
    client = Client(running.port)
    for _ in range(1000):
        if (await _some(client))[name]:
            await client.close()
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{name} gets no request")


async def _some(client: Client) -> Counter[str]:
    replies = [await client.post(headers={TARGET: model}) for model in MODELS[:50]]
    return Counter(reply.body.decode() for reply in replies)


def _of(found: dict[str, str], name: str) -> str:
    return next(model for model, home in found.items() if home == name)
