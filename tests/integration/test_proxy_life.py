"""HAProxy and its servers come and go while requests are under way, and none is lost."""

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.proxy_harness import (
    ENDPOINT,
    PATH,
    RANDOM,
    Client,
    ProxyHarness,
    each_haproxy,
    loaded,
    lost,
    read_message,
    stand,
    until,
    until_it,
)
from tidegate.domain.errors import StartupError, TargetRefused
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import build_route_table
from tidegate.proxy.haproxy import HAProxy
from tidegate.settings import Settings

pytestmark = [pytest.mark.slow, each_haproxy]


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


async def idle(running: ProxyHarness, fleet: FleetId, server: str) -> None:
    async def nothing_left() -> bool:
        return (await running.proxy.in_flight(fleet)).get(server, 0) == 0

    await until_it(nothing_left, f"{server} idle")


async def swept(running: ProxyHarness, fleet: FleetId, *left: str) -> None:
    """``ensure`` again and again, as the controller does, until only these servers are known."""

    async def clean() -> bool:
        await running.proxy.ensure()
        return set(await running.proxy.in_flight(fleet)) == set(left)

    await until_it(clean, f"only {left} left")


async def test_servers_are_replaced_under_load(program: str) -> None:
    async with stand(program) as running:
        fleet = await running.fleet(1, "a0", "b0")
        await running.share(1, {1: 10_000})
        async with loaded(running.port) as load:
            for turn in range(1, 8):
                await running.fleet(1, f"a{turn}", f"b{turn}")
                for letter in "ab":
                    await idle(running, fleet, f"{letter}{turn - 1}")
                    running.workers[f"{letter}{turn - 1}"].stop()
                await load.more(100)
            await swept(running, fleet, "a7", "b7")
        assert not load.bad
        assert all(load.seen[f"{letter}{turn}"] for turn in range(1, 7) for letter in "ab")


async def test_endpoints_come_and_go_under_load(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        await running.worker("other")
        async with loaded(running.port) as load:
            for generation in range(1, 25):  # three times the slots: they are used again
                fleet = FleetId("other", generation, "blue")
                await running.proxy.set_fleet(fleet, RANDOM, {"other": running.folder / "other"})
                await running.proxy.set_routes(
                    build_route_table("other", 1, [(generation, 10_000, {"blue": 1.0})])
                )
                reply = await running.ask(path="/endpoints/other/invocations")
                assert (reply.status, reply.body) == (200, b"other")
                await running.proxy.set_routes(build_route_table("other", 2, []))
                await running.proxy.drop_fleet(fleet)
                await running.proxy.drop_fleet(fleet)
                await running.proxy.ensure()
                await load.more(20)
        assert not load.bad
        assert running.workers["other"].served == 24


async def test_a_drained_server_finishes_and_gets_nothing_new(program: str) -> None:
    async with stand(program) as running:
        fleet = await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        held = [asyncio.create_task(running.ask(b"hold")) for _ in range(3)]
        await until(lambda: running.workers["a"].holding == 3, "three requests held")
        await running.fleet(1, "b")
        assert await running.proxy.in_flight(fleet) == {"a": 3, "b": 0}
        assert {(await running.ask()).body for _ in range(10)} == {b"b"}
        await running.proxy.ensure()
        assert (await running.proxy.in_flight(fleet))["a"] == 3
        running.workers["a"].release.set()
        assert [(await task).body for task in held] == [b"a"] * 3
        await swept(running, fleet, "b")


async def test_a_drained_server_can_be_taken_back(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        held = asyncio.create_task(running.ask(b"hold"))
        await until(lambda: running.workers["a"].holding == 1, "a request held")
        await running.fleet(1)
        assert (await running.ask()).status == 503
        await running.fleet(1, "a")
        assert (await running.ask()).body == b"a"
        running.workers["a"].release.set()
        assert (await held).status == 200


async def test_slots_that_run_out_are_added_under_load(program: str) -> None:
    async with stand(program, slots={"r": 1, "l": 1}) as running:
        await running.fleet(1, "g1")
        await running.share(1, {1: 10_000})
        async with loaded(running.port) as load:
            for generation in range(2, 7):
                await running.fleet(generation, f"g{generation}")
                await running.share(generation, {generation - 1: 5_000, generation: 5_000})
                await load.more(150)
        assert not load.bad
        assert all(load.seen[f"g{generation}"] for generation in range(1, 7))


async def test_a_reload_keeps_what_runs_and_waits_for_the_process_before_it(program: str) -> None:
    async with stand(program, slots={"r": 1, "l": 1}) as running:
        fleet = await running.fleet(1, "a")
        wanted = await running.share(1, {1: 10_000})
        client = Client(running.port)
        assert (await client.post()).status == 200
        held = asyncio.create_task(running.ask(b"hold"))
        await until(lambda: running.workers["a"].holding == 1, "a request held")
        await running.fleet(2, "b")  # no slot left: a reload
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        # The process from before still has both clients.
        await running.fleet(1, "c")
        assert await running.proxy.in_flight(fleet) == {"a": 1, "c": 0}
        running.workers["a"].release.set()
        assert (await held).body == b"a"
        await idle(running, fleet, "a")  # although the process from before has an idle connection
        reply = await client.post()
        assert (reply.body, reply.header("connection")) == (b"c", "close"), "it is handed to the new process"
        await swept(running, fleet, "c")
        assert (await client.post()).body == b"c"
        await client.close()


async def begin(running: ProxyHarness, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(request)
    return reader, writer


async def finish(client: tuple[asyncio.StreamReader, asyncio.StreamWriter], rest: bytes) -> tuple[bytes, bytes]:
    """Status line and body of the answer to a request whose rest is sent now."""
    client[1].write(rest)
    head, body = await read_message(client[0])
    client[1].close()
    return head.split(b"\r\n")[0], body


async def test_no_idle_slow_or_streaming_client_loses_a_request_over_reloads(program: str) -> None:
    """Idle connections hold up nothing. A request that is still being sent keeps the server that it may be given."""
    async with stand(program, slots={"r": 1, "l": 1}) as running:
        fleet = await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        idlers = [Client(running.port) for _ in range(3)]
        assert {(await one.post()).body for one in idlers} == {b"a"}
        line = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n".encode()
        in_head = await begin(running, line)
        in_body = await begin(running, line + b"Content-Length: 4\r\n\r\nxx")
        streaming = await begin(running, line + b"Content-Length: 6\r\n\r\nstream")
        assert (await streaming[0].readuntil(b"first\r\n")).startswith(b"HTTP/1.1 200")
        for generation in range(2, 4):  # no slot left: a reload each
            await running.fleet(2 * generation, f"more{generation}", endpoint=f"more{generation}")
        await running.fleet(1, "b")
        assert (await running.proxy.in_flight(fleet))["a"] >= 1
        running.workers["a"].release.set()
        assert (await streaming[0].readuntil(b"0\r\n\r\n")).endswith(b"last\r\n0\r\n\r\n")
        streaming[1].close()
        assert (await running.proxy.in_flight(fleet))["a"] == 1, "a request that is not whole may still come to it"
        assert await finish(in_body, b"xx") == (b"HTTP/1.1 200 OK", b"a")
        await idle(running, fleet, "a")
        running.workers["a"].stop()
        assert await finish(in_head, b"Content-Length: 1\r\n\r\nx") == (b"HTTP/1.1 200 OK", b"b")
        assert [(await one.post()).body for one in idlers] == [b"b"] * 3
        for one in idlers:
            await one.close()
        assert await lost(running.proxy) == {}


async def test_idle_connections_of_workers_and_of_the_dispatcher_are_handed_over_too(program: str) -> None:
    async with stand(program, slots={"r": 2, "l": 1, "q": 1}) as running:
        queued = await running.fleet(1, "q", routing=RoutingStrategy.QUEUED)
        shadow = await running.fleet(2, "s")
        await running.share(1, {1: 10_000})
        sockets = {running.proxy.queued: queued, running.proxy.copies: shadow}
        clients = {socket: Client(socket) for socket in sockets}
        asked = {"X-Tidegate-Fleet": str(shadow)}
        for client in clients.values():
            assert (await client.post(headers=asked)).status == 200
        await running.fleet(3, "more"), await running.fleet(4, "more")  # no slot left: a reload
        for name, fleet in {"q2": queued, "s2": shadow}.items():
            await running.fleet(fleet.generation, name)
            await idle(running, fleet, name[0])
            running.workers[name[0]].stop()
        replies = {socket: await client.post(headers=asked) for socket, client in clients.items()}
        assert {socket: (reply.status, reply.body) for socket, reply in replies.items()} == {
            running.proxy.queued: (200, b"q2"),
            running.proxy.copies: (200, b"s2"),
        }
        assert (replies[running.proxy.copies].header("x-tidegate-took") or "").isdecimal()
        for client in clients.values():
            await client.close()


async def test_a_connection_from_before_a_reload_knows_an_endpoint_from_after_it(program: str) -> None:
    async with stand(program, slots={"r": 1, "l": 1}) as running:
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        client = Client(running.port)
        assert (await client.post()).status == 200
        await running.fleet(1, "b", endpoint="second")  # no slot left: a reload
        await running.proxy.set_routes(build_route_table("second", 1, [(1, 10_000, {"blue": 1.0})]))
        reply = await client.post(path=PATH.replace(ENDPOINT, "second"))
        assert (reply.status, reply.body) == (200, b"b")


async def test_a_connection_from_before_a_reload_gets_no_version_that_was_rolled_back(program: str) -> None:
    async with stand(program, slots={"r": 2, "l": 1}) as running:
        await running.fleet(1, "good")
        await running.fleet(2, "bad")
        await running.share(1, {2: 10_000})
        clients = [Client(running.port) for _ in range(5)]
        assert {(await one.post()).body for one in clients} == {b"bad"}
        await running.fleet(3, "more")  # no slot left: a reload
        await running.share(2, {1: 10_000})
        assert {(await one.post()).body for one in clients} == {b"good"}


async def test_a_proxy_that_stops_answers_what_idle_connections_ask_meanwhile(program: str) -> None:
    async with stand(program, slots={"r": 1, "l": 1}) as running:
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        before = Client(running.port)
        assert (await before.post()).status == 200
        await running.fleet(2, "b")  # no slot left: a reload
        client = Client(running.port)
        assert (await client.post()).status == 200
        held = asyncio.create_task(running.ask(b"hold"))
        await until(lambda: running.workers["a"].holding == 1, "a request held")
        stopping = asyncio.create_task(running.proxy.stop())
        await until(lambda: not listens(running.port), "nobody is accepted any more")
        assert [(await one.post()).status for one in (client, before)] == [200, 200]
        running.workers["a"].release.set()
        assert (await held).status == 200
        await stopping


async def test_haproxy_that_is_killed_comes_back_as_it_was(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        fleet = await running.fleet(2, "b", "c")
        wanted = await running.share(5, {1: 2_500, 2: 7_500})
        await running.fleet(2, "c")
        await running.kill()
        await running.proxy.ensure()
        assert await running.proxy.up()
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        assert set(await running.proxy.in_flight(fleet)) == {"c"}
        assert {(await running.ask()).body for _ in range(100)} == {b"a", b"c"}
        await running.share(4, {1: 10_000})
        assert (await running.proxy.view(ENDPOINT)).routes == wanted


async def test_a_process_that_loses_its_master_or_worker_is_replaced_whole(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        worker = int(next(Path(f"/proc/{running.master}/task/{running.master}").glob("children")).read_text())
        os.kill(worker, signal.SIGKILL)

        async def answers_again() -> bool:
            await running.proxy.ensure()
            return (await running.ask()).status == 200

        await until_it(answers_again, "an answer")


async def test_a_worker_that_is_killed_costs_no_request(program: str) -> None:
    async with stand(program) as running:
        victim = await running.worker_process("a")
        await running.worker_process("b")
        await running.fleet(1, "a", "b")
        await running.share(1, {1: 10_000})
        async with loaded(running.port, body=b"x" * 20_000) as load:
            await until(lambda: bool(load.seen["a"] and load.seen["b"]), "both serve")
            victim.kill()
            victim.wait()
            await load.more(500)
        assert not load.bad
        assert await lost(running.proxy) == {}


async def test_a_request_that_kills_its_worker_kills_two_at_most(program: str) -> None:
    async with stand(program) as running:
        fleet = await running.fleet(1, *"abcd")
        await running.share(1, {1: 10_000})
        assert (await running.ask()).status == 200
        # HAProxy hangs up instead of answering when it had used the broken connection before.
        assert (await running.ask(b"die")).status in (424, 0)
        assert await lost(running.proxy) == {fleet: 1}
        assert await lost(running.proxy) == {}
        assert sorted(worker.died for worker in running.workers.values()) == [0, 0, 1, 1]
        assert (await running.ask()).status == 200


async def test_a_client_that_leaves_is_no_failure(program: str) -> None:
    async with stand(program) as running:
        fleet = await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        _, waiting = await asyncio.open_connection("127.0.0.1", running.port)
        waiting.write(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nhold".encode())
        _, sending = await asyncio.open_connection("127.0.0.1", running.port)
        sending.write(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nho".encode())
        await until(lambda: running.workers["a"].holding == 1, "a request held")
        for writer in (waiting, sending):
            writer.transport.abort()
        running.workers["a"].release.set()
        await idle(running, fleet, "a")
        assert (await running.ask()).status == 200
        assert await lost(running.proxy) == {}


async def test_a_restarted_controller_adopts_what_runs(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        fleet = await running.fleet(2, "b")
        wanted = await running.share(3, {1: 5_000, 2: 5_000})
        master = running.master
        async with loaded(running.port) as load:
            await load.more(20)
            second = running.another()
            await second.start_or_adopt()
            assert running.master == master
            assert (await second.view(ENDPOINT)).routes == wanted
            await second.set_fleet(fleet, RANDOM, {"b": running.folder / "b"})
            await second.set_routes(build_route_table(ENDPOINT, 4, [(2, 10_000, {"blue": 1.0})]))
            await second.drop_fleet(FleetId(ENDPOINT, 1, "blue"))
            await load.more(100)
        assert not load.bad
        assert await lost(second) == {}


async def test_an_adopted_proxy_gets_the_settings_of_now(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        master = running.master
        async with loaded(running.port) as load:
            await load.more(20)
            await running.another(max_body=100).start_or_adopt()
            await load.more(100)
        assert not load.bad
        assert running.master == master
        assert (await running.ask(b"x" * 101)).status == 413


async def test_a_port_in_use_is_named(program: str) -> None:
    async with stand(program) as running, stand(program) as other:
        second = ProxyHarness(other.another(port=running.port), other.settings, other.folder)
        with pytest.raises(StartupError, match=f"port {running.port} on 127.0.0.1 cannot be used"):
            await second.proxy.start_or_adopt()
        assert await running.proxy.up()
        with socket.socket() as taken:
            await other.proxy.stop()
            taken.bind(("127.0.0.1", other.port))
            taken.listen()
            with pytest.raises(StartupError, match=f"port {other.port} .*--port"):
                await other.proxy.start_or_adopt()


async def test_stopping_lets_requests_come_home(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        held = asyncio.create_task(running.ask(b"hold"))
        await until(lambda: running.workers["a"].holding == 1, "a request held")
        stopping = asyncio.create_task(running.proxy.stop())

        async def refused() -> bool:
            return (await running.ask()).status == 0

        await until_it(refused, "new connections refused")
        assert not stopping.done()
        running.workers["a"].release.set()
        assert (await held).body == b"a"
        await stopping
        assert not await running.proxy.up()
        await running.proxy.stop()


async def test_a_folder_whose_sockets_would_be_too_deep_is_refused(program: str, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / "controller.sock"
    proxy = HAProxy(Settings(port=1, haproxy=program), tmp_path, deep)
    with pytest.raises(StartupError, match="too long for a unix socket"):
        await proxy.start_or_adopt()


async def test_without_lua_all_but_serverless_endpoints_are_served(program: str, tmp_path: Path) -> None:
    """A stand-in for a HAProxy that was built without it: it takes no configuration with Lua."""
    bare = tmp_path / "haproxy"
    bare.write_text(f"""#!/bin/sh
case "$1" in -vv) echo "Feature list : -LUA +THREAD"; exit;; -v) exec {program} -v;; esac
if grep -qs lua "$3/haproxy.cfg"; then exit 1; fi
exec {program} "$@"
""")
    bare.chmod(0o755)

    async with stand(str(bare)) as running:
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        assert (await running.ask()).status == 200
        with pytest.raises(TargetRefused, match="need a HAProxy with Lua"):
            await running.fleet(2, "b", routing=RoutingStrategy.ON_DEMAND)


async def test_a_server_that_does_not_answer_is_seen_to_be_dead_and_to_live_again(program: str) -> None:
    async with stand(program) as running:
        fleet = await running.fleet(1, "a", "b")
        await running.share(1, {1: 10_000})

        async def alive(**wanted: bool) -> bool:
            view = await running.proxy.view(ENDPOINT)
            assert view.routes.share_of(1) == 10_000
            passed = (await running.proxy.passed())[fleet]
            assert passed.down <= view.alive[fleet].keys()
            return view.alive[fleet] == wanted and passed.down == {n for n, well in wanted.items() if not well}

        await until_it(lambda: alive(a=True, b=True), "both live")
        running.workers["a"].stop()
        await until_it(lambda: alive(a=False, b=True), "one is dead")
        await running.workers["a"].start()
        await until_it(lambda: alive(a=True, b=True), "it lives again")
