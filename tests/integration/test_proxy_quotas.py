"""Clients are held to their rates, each by itself. Buckets of these tests fill in minutes, so that how fast a test
runs makes no difference."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from tests.proxy_harness import ENDPOINT, PATH, Client, ProxyHarness, each_haproxy, hands_over, stand, until_it
from tidegate.domain.admission import Admission, Quotas, TokenBucket
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import build_route_table
from tidegate.host.installation import PREFIX
from tidegate.proxy import haproxy

pytestmark = [pytest.mark.slow, each_haproxy]
POOLS = {"r": 4, "l": 4, "m": 2, "s": 2}
SLOW = 1 / 60
BY_HEADER = Quotas(
    TokenBucket(SLOW, 5), "X-Client", {"big": TokenBucket(SLOW, 9), "none.at-all": TokenBucket(SLOW, 1)}
)
ROUTINGS = (
    RoutingStrategy.RANDOM,
    RoutingStrategy.LEAST_OUTSTANDING_REQUESTS,
    RoutingStrategy.BY_MODEL,
    RoutingStrategy.ON_DEMAND,
)


async def scene(program: str, play: Callable[[ProxyHarness], Awaitable[None]]) -> None:
    async with stand(program, POOLS) as running:
        await play(running)


async def served(running: ProxyHarness, quotas: Quotas | None, generation: int = 1, name: str = "a") -> FleetId:
    fleet = await running.fleet(generation, name, admission=Admission(quotas=quotas))
    await running.share(generation, {generation: 10_000})
    return fleet


async def asked(running: ProxyHarness, times: int, **headers: str) -> Counter[int]:
    client, found = Client(running.port), Counter[int]()
    for _ in range(times):
        reply = await client.post(headers={name.replace("_", "-"): text for name, text in headers.items()})
        found[reply.status] += 1
    await client.close()
    return found


async def test_a_reload_that_another_endpoint_causes_fills_no_bucket(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(haproxy, "PEER", f"{PREFIX}1")  # the form that installations give it

    async with stand(program, {"r": 1, "l": 0}) as running:
        await served(running, BY_HEADER)
        assert await asked(running, 6, X_Client="small") == {200: 5, 429: 1}
        await until_it(lambda: hands_over(running), "the process hands buckets over")
        pid = await running.proxy._runtime.pid()
        for generation in (2, 3):  # no slot is left for the second: the proxy reloads
            await running.fleet(generation, f"z{generation}", endpoint="another")
        assert await running.proxy._runtime.pid() != pid

        async def is_known() -> bool:
            return ":small" in await running.proxy._runtime.send_command("show table quotas")

        await until_it(is_known, "the new process knows the bucket")
        assert await asked(running, 12, X_Client="small") == {429: 12}, "it got no second allowance"
        assert await asked(running, 3, X_Client="other") == {200: 3}


@pytest.mark.parametrize("routing", ROUTINGS)
async def test_each_client_has_its_bucket(program: str, routing: RoutingStrategy) -> None:
    async def play(running: ProxyHarness) -> None:
        fleet = await running.fleet(1, "a", routing=routing, admission=Admission(quotas=BY_HEADER))
        await running.share(1, {1: 10_000})
        assert await asked(running, 12, X_Client="small") == {200: 5, 429: 7}
        assert await asked(running, 12, X_Client="other") == {200: 5, 429: 7}
        assert await asked(running, 12, X_Client="big") == {200: 9, 429: 3}
        assert await asked(running, 12, X_Client="none.at-all") == {200: 1, 429: 11}
        assert await asked(running, 12) == {200: 5, 429: 7}, "those without a name are one client"
        load = (await running.proxy.passed())[fleet]
        assert (load.throttled, load.refused, load.unanswered) == (35, 0, 0)
        assert running.workers["a"].served == 25

    await scene(program, play)


async def test_a_burst_in_one_moment_has_all_of_the_bucket(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running, BY_HEADER)
        clients = [Client(running.port) for _ in range(12)]
        replies = await asyncio.gather(*(client.post(headers={"X-Client": "big"}) for client in clients))
        for client in clients:
            await client.close()
        assert Counter(reply.status for reply in replies) == {200: 9, 429: 3}

    await scene(program, play)


async def test_a_throttled_client_is_told_when_to_come_again(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running, Quotas(TokenBucket(SLOW, 1), "X-Client"))
        await asked(running, 1, X_Client="a")
        reply = await running.ask(headers={"X-Client": "a"})
        assert (reply.status, reply.header("x-amzn-ErrorType")) == (429, "ThrottlingException")
        assert 55 <= int(reply.header("Retry-After") or 0) <= 60
        assert json.loads(reply.body)["message"] == (
            f"Rate exceeded: this client exceeds its quota for endpoint {ENDPOINT}; try again."
        )
        path = f"/endpoints/{ENDPOINT}/v1/chat/completions"
        error = json.loads((await running.ask(path=path, headers={"X-Client": "a"})).body)["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "ThrottlingException")

    await scene(program, play)


async def test_a_client_is_known_by_its_key(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running, Quotas(TokenBucket(SLOW, 3), clients={"AKIDBIG": TokenBucket(SLOW, 6)}))
        signed = (
            "AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/sagemaker/aws4_request, SignedHeaders=host, Sig=0"
        )
        assert await asked(running, 8, Authorization=signed.format("AKIDA")) == {200: 3, 429: 5}
        assert await asked(running, 8, Authorization=signed.format("AKIDB")) == {200: 3, 429: 5}
        assert await asked(running, 8, Authorization=signed.format("AKIDBIG")) == {200: 6, 429: 2}
        assert await asked(running, 8, Authorization="Bearer AKIDC:secret") == {200: 3, 429: 5}
        query = "?X-Amz-Credential=AKIDC%2F20260101%2Fus-east-1%2Fsagemaker%2Faws4_request&X-Amz-Signature=0"
        path = f"/endpoints/{ENDPOINT}/invocations{query}"
        assert (await running.ask(path=path)).status == 429, "the same key in another way"

    await scene(program, play)


@pytest.mark.parametrize("routing", ROUTINGS)
async def test_a_forged_name_spends_nothing_of_the_others_tokens(program: str, routing: RoutingStrategy) -> None:
    """What a worker refuses for its signature gives the token back, however often."""

    async def play(running: ProxyHarness) -> None:
        await running.fleet(1, "a", routing=routing, admission=Admission(quotas=BY_HEADER))
        await running.share(1, {1: 10_000})
        assert await asked(running, 2, X_Client="small") == {200: 2}
        forger = Client(running.port)
        forged = [await forger.post(b"forged", headers={"X-Client": "small"}) for _ in range(20)]
        await forger.close()
        assert {(reply.status, reply.header("x-tidegate-unspent")) for reply in forged} == {(403, None)}
        assert await asked(running, 5, X_Client="small") == {200: 3, 429: 2}
        assert (await running.ask(b"forged", headers={"X-Client": "small"})).status == 429, "it is empty for all"

    await scene(program, play)


async def test_what_the_model_refuses_is_spent(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running, BY_HEADER)
        refused = [(await running.ask(b"denied", headers={"X-Client": "small"})).status for _ in range(8)]
        assert refused == [403] * 5 + [429] * 3

    await scene(program, play)


async def test_a_request_that_is_never_finished_spends_no_token(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running, BY_HEADER)
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nX-Client: small\r\nContent-Length: 9\r\n\r\nhalf"
        for _ in range(8):
            _, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(head.encode())
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        assert await asked(running, 6, X_Client="small") == {200: 5, 429: 1}

    await scene(program, play)


async def test_another_header_is_learnt(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running, Quotas(TokenBucket(SLOW, 2), "X-Tenant"))
        assert await asked(running, 4, X_Tenant="a", X_Client="a") == {200: 2, 429: 2}
        assert await asked(running, 4, X_Tenant="b", X_Client="a") == {200: 2, 429: 2}

    await scene(program, play)


async def test_a_bucket_belongs_to_the_endpoint_and_outlives_a_rollout(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running, BY_HEADER)
        await running.fleet(1, "b", admission=Admission(quotas=BY_HEADER), endpoint="other")
        await running.proxy.set_routes(build_route_table("other", 1, [(1, 10_000, {"blue": 1.0})]))
        assert await asked(running, 6, X_Client="small") == {200: 5, 429: 1}
        other = await running.ask(path="/endpoints/other/invocations", headers={"X-Client": "small"})
        assert (other.status, other.body) == (200, b"b")
        await served(running, BY_HEADER, 2, "c")
        assert await asked(running, 3, X_Client="small") == {429: 3}

    await scene(program, play)


async def test_a_slot_that_changes_hands_takes_no_quota_along(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        fleet = await served(running, BY_HEADER)
        slot = running.proxy._state.slots[fleet]
        assert await asked(running, 6, X_Client="small") == {200: 5, 429: 1}
        await running.proxy.set_routes(build_route_table(ENDPOINT, 2, []))
        await running.proxy.drop_fleet(fleet)

        async def free() -> bool:
            await running.proxy.ensure()
            return not running.proxy._state.emptying

        await until_it(free, "the slot is free")
        later = await served(running, None, 3)
        assert running.proxy._state.slots[later] == slot
        assert await asked(running, 6, X_Client="small") == {200: 6}

    await scene(program, play)


async def test_quotas_are_there_again_after_a_reload_and_a_death(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await served(running, BY_HEADER)
        await running.fleet(2, "b", admission=Admission(queue_time=2))  # which it learns by a reload
        assert await asked(running, 12, X_Client="big") == {200: 9, 429: 3}
        await running.kill()

        async def back() -> bool:
            await running.proxy.ensure()
            return await running.proxy.up()

        await until_it(back, "haproxy is back")
        assert await asked(running, 12, X_Client="big") == {200: 9, 429: 3}

    await scene(program, play)
