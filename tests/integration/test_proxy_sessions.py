"""Sessions: their requests go to the instance that has them, or nowhere."""

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from tests.proxy_harness import (
    PATH,
    Client,
    ProxyHarness,
    Reply,
    each_haproxy,
    hands_over,
    loaded,
    lost,
    stand,
    until_it,
)
from tidegate.domain.fleet import RoutingStrategy
from tidegate.domain.sessions import HOLDER_HEADER, NEW_SESSION, NEW_SESSION_HEADER, SESSION_HEADER
from tidegate.domain.traffic import build_route_table
from tidegate.host.installation import PREFIX
from tidegate.proxy import haproxy, sessions

pytestmark = [pytest.mark.slow, each_haproxy]
LEAST = RoutingStrategy.LEAST_OUTSTANDING_REQUESTS
STREAM = "/endpoints/fraud/invocations-response-stream"


@pytest.fixture(autouse=True)
def no_time_to_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LEARNING_TIME", 0)


async def scene(program: str, play: Callable[[ProxyHarness], Awaitable[None]], *names: str) -> None:
    """An endpoint with these instances, all of one version."""

    async with stand(program) as running:
        await running.fleet(1, *(names or ("a", "b", "c")))
        await running.share(1, {1: 10_000})
        await play(running)


async def begin(running: ProxyHarness, name: str) -> str:
    """Begins a session of that name; returns the instance that has it."""
    reply = await running.ask(
        f"open {name}; Expires=2999-01-01T00:00:00Z".encode(), headers={SESSION_HEADER: NEW_SESSION}
    )
    assert (reply.status, reply.header(NEW_SESSION_HEADER)) == (200, f"{name}; Expires=2999-01-01T00:00:00Z"), (
        reply
    )
    return reply.body.decode()


async def go_on(running: ProxyHarness, name: str, body: bytes = b"x", path: str = PATH) -> Reply:
    return await running.ask(body, path, headers={SESSION_HEADER: name})


async def is_gone(running: ProxyHarness, name: str) -> None:
    reply = await go_on(running, name)
    assert reply.status == 400, reply
    text = reply.body.decode()
    assert f"Session {name} of endpoint fraud does not exist" in text and NEW_SESSION in text, text
    assert reply.header("x-tidegate-session") is None


async def test_200_requests_of_a_session_go_to_one_instance_beside_other_traffic(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        homes = {f"s-{number}": await begin(running, f"s-{number}") for number in range(6)}
        async with loaded(running.port) as load:
            for _ in range(200):
                await load.more(1)
                for name, home in homes.items():
                    assert (await go_on(running, name)).body.decode() == home
        assert set(load.seen) == {"a", "b", "c"} and not load.bad

    await scene(program, play)


async def test_new_sessions_are_spread(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        homes = Counter([await begin(running, f"s{number}") for number in range(60)])
        assert all(8 <= homes[name] <= 36 for name in "abc"), homes

    await scene(program, play)


async def test_a_session_stays_with_its_version_while_that_has_requests(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        await running.fleet(2, "new", "newer", routing=LEAST)
        await running.share(2, {1: 5_000, 2: 5_000})
        homes = {f"s{number}": await begin(running, f"s{number}") for number in range(70)}
        old, new = (
            {s for s, home in homes.items() if home.startswith("new") is is_new} for is_new in (False, True)
        )
        assert min(len(old), len(new)) >= 10
        for fence, shares in enumerate(({1: 9_900, 2: 100}, {1: 100, 2: 9_900}, {1: 5_000, 2: 5_000}), 3):
            await running.share(fence, shares)
            for name, home in homes.items():
                assert (await go_on(running, name)).body.decode() == home
        await running.share(10, {2: 10_000})
        for name in old:
            await is_gone(running, name)
        for name in new:
            assert (await go_on(running, name)).body.decode() == homes[name]

    await scene(program, play, "old", "older")


async def test_a_session_of_one_variant_is_not_another_ones(program: str) -> None:
    """Nor is it one of another endpoint."""

    async def play(running: ProxyHarness) -> None:
        fleet = await running.fleet(2, "z", endpoint="other")
        await running.proxy.set_routes(build_route_table("other", 2, [(2, 10_000, {fleet.variant: 1.0})]))
        await begin(running, "mine")
        reply = await go_on(running, "mine", path="/endpoints/other/invocations")
        assert reply.status == 400 and b"Session mine of endpoint other does not exist" in reply.body
        assert running.workers["z"].served == 0

    await scene(program, play, "a")


@pytest.mark.parametrize("noticed", [False, True])
async def test_the_session_of_a_dead_instance_is_gone_and_a_new_one_works(program: str, noticed: bool) -> None:
    async def play(running: ProxyHarness) -> None:
        homes = {f"s{number}": await begin(running, f"s{number}") for number in range(12)}
        dead = homes["s0"]
        running.workers[dead].stop()
        if noticed:
            fleet = next(iter(await running.proxy.passed()))

            async def down() -> bool:
                return dead in (await running.proxy.passed())[fleet].down

            await until_it(down, f"{dead} is known to be down")
        for name, home in homes.items():
            if home == dead:
                await is_gone(running, name)
            else:
                assert (await go_on(running, name)).body.decode() == home
        assert await begin(running, "after") != dead
        assert (await go_on(running, "after")).status == 200
        assert not await lost(running.proxy)

    await scene(program, play)


async def test_the_session_of_an_instance_that_dies_with_its_request_is_given_to_no_other(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        home = await begin(running, "s")
        assert (await go_on(running, "s", b"die")).status == 400
        assert [worker.died for name, worker in running.workers.items() if name != home] == [0, 0]

    await scene(program, play)


async def test_one_that_takes_the_place_of_an_instance_does_not_take_its_sessions(program: str) -> None:
    """HAProxy gives it the number of the one that went."""

    async def play(running: ProxyHarness) -> None:
        assert await begin(running, "s") == "a"
        await running.fleet(1, "b")
        for _ in range(2):
            await running.proxy.ensure()
        await is_gone(running, "s")
        assert running.workers["b"].served == 0

    await scene(program, play, "a")


@pytest.mark.parametrize("learning", [0, 1_000_000])
async def test_a_closed_session_is_gone(program: str, monkeypatch: pytest.MonkeyPatch, learning: int) -> None:
    """Also for a process that does not know all sessions yet."""
    monkeypatch.setattr(sessions, "LEARNING_TIME", learning)

    async def play(running: ProxyHarness) -> None:
        home = await begin(running, "s")
        await begin(running, "t")
        assert (await go_on(running, "s", b"close s")).body.decode() == home
        await is_gone(running, "s")
        assert (await go_on(running, "t")).status == 200
        assert {await begin(running, "s") for _ in range(1)} <= {"a", "b", "c"}  # it may be named so again
        assert (await go_on(running, "s")).status == 200

    await scene(program, play)


async def test_an_id_that_another_instance_has_is_the_containers_error(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        home = await begin(running, "s")
        client, refused = Client(running.port), 0
        for _ in range(40):
            reply = await client.post(b"open s", headers={SESSION_HEADER: NEW_SESSION})
            if reply.status == 200:
                assert reply.body.decode() == home
            else:
                assert reply.status == 424 and b"session s, which another instance already has" in reply.body
                refused += 1
        await client.close()
        assert refused > 5
        for _ in range(10):
            assert (await go_on(running, "s")).body.decode() == home
        running.workers[home].stop()
        await is_gone(running, "s")  # although the others have one of that name, too
        await is_gone(running, "s")
        assert await begin(running, "s") != home
        assert (await go_on(running, "s")).status == 200

    await scene(program, play)


async def test_only_who_asks_for_a_session_gets_one(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        assert (await running.ask(b"open s")).status == 200
        await is_gone(running, "s")

    await scene(program, play)


async def test_who_has_a_session_is_not_for_clients_to_say(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        home = await begin(running, "s")
        reply = await running.ask(headers={SESSION_HEADER: "s", HOLDER_HEADER: "1"})
        assert (reply.status, reply.body.decode()) == (200, home)

    await scene(program, play)


@pytest.mark.parametrize(
    "id",
    ["", "-a", "a-", "a_b", "a b", "new_session", "NEW_SESSION2", "a;b", 'a"b', "%[env(HOME)]", "\u00e9", "a, b"],
)
async def test_an_id_that_cannot_be_one_is_refused_as_sagemaker_does(program: str, id: str) -> None:
    async def play(running: ProxyHarness) -> None:
        reply = await go_on(running, id)
        assert reply.status == 400 and reply.header("x-amzn-ErrorType") == "ValidationError"
        assert b"'sessionId' failed to satisfy constraint" in reply.body.replace(b"\\u0027", b"'")
        assert b"regular expression pattern" in reply.body

    await scene(program, play, "a")


async def test_ids_are_as_long_as_sagemakers(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        longest = "a-" * 127 + "bc"
        assert await begin(running, longest) == "a" and (await go_on(running, longest)).status == 200
        other = longest[:-1] + "d"
        await is_gone(running, other)
        reply = await go_on(running, longest + "d")
        assert reply.status == 400 and b"length less than or equal to 256" in reply.body

    await scene(program, play, "a")


async def test_a_session_cannot_be_begun_with_an_answer_in_events_but_goes_on_with_one(program: str) -> None:
    async def play(running: ProxyHarness) -> None:
        reply = await go_on(running, NEW_SESSION, b"open s", STREAM)
        assert reply.status == 400 and b"regular expression pattern" in reply.body
        home = await begin(running, "s")
        assert (await go_on(running, "s", path=STREAM)).body.decode() == home

    await scene(program, play)


async def knows(running: ProxyHarness, name: str) -> bool:
    return (await go_on(running, name)).status == 200


async def test_a_reload_keeps_sessions(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "PEER", f"{PREFIX}1")  # the form that installations give it

    async with stand(program, {"r": 1, "l": 0}) as running:
        await running.fleet(1, "a", "b", "c")
        await running.share(1, {1: 10_000})
        homes = {f"s{number}": await begin(running, f"s{number}") for number in range(50)}
        await until_it(lambda: hands_over(running), "the process hands sessions over")
        for generation in (2, 4):  # no slot is left for them: the proxy reloads
            pid = await running.proxy._runtime.pid()
            await running.fleet(generation, f"z{generation}")
            await running.fleet(generation + 1, f"y{generation}")
            assert await running.proxy._runtime.pid() != pid
            await until_it(lambda: knows(running, "s49"), "the new process knows the sessions")
            for name, home in homes.items():
                assert (await go_on(running, name)).body.decode() == home


@pytest.mark.parametrize("learning", [0, 1_000_000])
async def test_with_the_death_of_the_proxy_sessions_are_gone(
    program: str, monkeypatch: pytest.MonkeyPatch, learning: int
) -> None:
    """At first it says that it does not know yet, as after a reload."""
    monkeypatch.setattr(sessions, "LEARNING_TIME", learning)

    async def play(running: ProxyHarness) -> None:
        await begin(running, "s")
        await running.kill()
        await running.proxy.ensure()
        reply = await go_on(running, "s")
        if learning:
            assert reply.status == 503 and reply.header("Retry-After") == "1" and b"try again" in reply.body
        else:
            await is_gone(running, "s")
        assert await begin(running, "t") in "abc"

    await scene(program, play)
