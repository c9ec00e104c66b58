"""The socket for copies of requests: it leads to any fleet by its id, and the door leads to none of those."""

import stat
from collections.abc import Mapping

from tests.proxy_harness import ENDPOINT, PATH, Client, ProxyHarness, Reply, each_haproxy, stand
from tidegate.domain.admission import Admission, Quotas, TokenBucket
from tidegate.domain.fleet import FleetId

pytestmark = each_haproxy
FLEET = "X-Tidegate-Fleet"
PAIR = "/_tidegate/pair?traced=1"


async def copy(
    running: ProxyHarness,
    fleet: FleetId,
    body: bytes = b"x",
    path: str = PATH,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    client = Client(running.proxy.copies)
    reply = await client.post(body, path, headers={FLEET: str(fleet), **(headers or {})})
    await client.close()
    return reply


async def test_a_copy_reaches_the_fleet_that_it_names_until_that_is_dropped(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        shadow = await running.fleet(2, "b")
        await running.share(1, {1: 10_000})
        reply = await copy(running, shadow)
        assert reply.body == b"b" and (reply.header("x-tidegate-took") or "").isdecimal()
        assert stat.S_IMODE(running.proxy.copies.stat().st_mode) == 0o600
        head = (await copy(running, shadow, b"head")).body.lower()
        assert b"x-tidegate-start:" in head and b"x-tidegate-fleet" not in head
        await running.proxy.drop_fleet(shadow)
        assert (await copy(running, shadow)).status == 503


async def test_a_fleet_without_a_ready_instance_answers_for_itself(program: str) -> None:
    async with stand(program) as running:
        shadow = await running.fleet(2)
        reply = await copy(running, shadow)
        assert reply.status == 503 and f"endpoint {ENDPOINT}".encode() in reply.body
        assert (reply.header("x-tidegate-took") or "").isdecimal()


async def test_no_header_leads_from_the_door_to_a_shadow(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        shadow = await running.fleet(2, "b")
        await running.share(1, {1: 10_000})
        assert (await running.ask(headers={FLEET: str(shadow)})).body == b"a"
        for name in (str(shadow), "r1", f"~{shadow}"):
            reply = await running.ask(headers={"X-Amzn-SageMaker-Target-Variant": name})
            assert reply.status == 400, reply


async def test_a_killed_or_reloaded_proxy_knows_the_fleets_again(program: str) -> None:
    async with stand(program, {"r": 1, "l": 1}) as running:
        first = await running.fleet(1, "a")
        second = await running.fleet(2, "b")  # no slot is left: a reload
        assert [(await copy(running, fleet)).body for fleet in (first, second)] == [b"a", b"b"]
        await running.kill()
        await running.proxy.ensure()
        assert [(await copy(running, fleet)).body for fleet in (first, second)] == [b"a", b"b"]


async def test_copies_of_a_pair_that_fail_are_not_counted_as_requests_of_the_version(program: str) -> None:
    async with stand(program) as running:
        new = await running.fleet(2, "b")
        await running.share(2, {2: 10_000})
        for _ in range(3):
            assert (await copy(running, new, b"die", PAIR)).status in (502, 503, 504, 0)
        assert (await running.proxy.passed())[new].unanswered == 0
        assert (await running.ask(b"die")).status in (424, 503)
        assert (await running.proxy.passed())[new].unanswered == 1, "a client's request is"


async def test_copies_of_a_pair_spend_no_quota_of_the_client(program: str) -> None:
    quotas = Quotas(TokenBucket(1 / 60, 2), "X-Client")
    acme = {"X-Client": "acme"}
    async with stand(program) as running:
        new = await running.fleet(2, "b", admission=Admission(quotas=quotas))
        await running.share(2, {2: 10_000})
        for _ in range(4):
            assert (await copy(running, new, path=PAIR, headers=acme)).status == 200
        assert (await running.ask(headers=acme)).status == 200
