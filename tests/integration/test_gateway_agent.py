"""A gateway's process: a real HAProxy behind its agent, with workers on TCP."""

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path

import httpx
import msgspec
import pytest

from tidegate.domain.errors import Conflict, Transient
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.traffic import RouteTable, build_route_table
from tidegate.host.platform import free_port
from tidegate.ports.gateway_agent import AgentSettings, EndpointPlan, FleetPlan
from tidegate.ports.router import TcpAddress
from tidegate.proxy.agent_main import proxy_settings
from tidegate.targets.kubernetes.agent_client import AgentClient

PATIENCE = 30.0
OLD, NEW = FleetId("fraud", 1, "AllTraffic"), FleetId("fraud", 2, "AllTraffic")


@dataclass
class Worker:
    """Answers every prediction with its name, while it is held only once it is let go."""

    name: str
    served: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def start(self) -> asyncio.Server:
        self.release.set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
                )
                await reader.readexactly(length)
                if head.startswith(b"POST"):
                    await self.release.wait()
                    self.served += 1
                body = self.name.encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()


@dataclass
class Gateway:
    client: AgentClient
    process: asyncio.subprocess.Process
    port: int
    folder: Path

    async def predict(self, http: httpx.AsyncClient) -> httpx.Response:
        return await http.post(f"http://127.0.0.1:{self.port}/endpoints/fraud/invocations", content=b"1,2")

    async def ready(self) -> bool:
        async with httpx.AsyncClient() as http:
            with contextlib.suppress(httpx.HTTPError):
                return (await http.get(f"http://127.0.0.1:{self.client.port}/ready")).status_code == 200
        return False


def scenario(work: Callable[[Path], Coroutine[None, None, None]]) -> Callable[[Path], None]:
    """The test in a loop of its own."""

    @wraps(work)
    def run(tmp_path: Path) -> None:
        asyncio.run(work(tmp_path))

    return run


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def gateway(folder: Path, token: str = "secret", invocation_timeout: int = 60) -> AsyncIterator[Gateway]:
    port, agent = free_port(), free_port()
    state = tempfile.mkdtemp(prefix="tg-")  # a short path, for sockets
    (folder / "token").write_text(token)
    settings = AgentSettings(
        port=agent,
        token_file=str(folder / "token"),
        state=state,
        proxy={"host": "127.0.0.1", "port": port, "drain_timeout": 10, "invocation_timeout": invocation_timeout},
        signed=False,
        leave_after=0.2,
    )
    (folder / "agent.json").write_bytes(msgspec.json.encode(settings))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tidegate.proxy.agent_main", str(folder / "agent.json"))
    )
    try:
        made = Gateway(AgentClient("g1", "127.0.0.1", token, agent), process, port, folder)

        async def listening() -> bool:
            assert process.returncode is None
            with contextlib.suppress(Transient):
                await made.client.state()
                return True
            return False

        await until(listening)
        yield made
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        shutil.rmtree(state, ignore_errors=True)


def plan(
    fence: int, shares: dict[FleetId, int], workers: dict[FleetId, list[Worker]], controller: int = 1
) -> EndpointPlan:
    sides = [(fleet.generation, share, {fleet.variant: 1.0}) for fleet, share in shares.items()]
    fleets = tuple(
        FleetPlan(
            fleet,
            RoutingStrategy.RANDOM,
            {worker.name: str(TcpAddress("127.0.0.1", worker.port)) for worker in some},
        )
        for fleet, some in workers.items()
    )
    return EndpointPlan(controller, build_route_table("fraud", fence, sides), fleets)


@scenario
async def test_gateway_serves_what_its_plans_say(tmp_path: Path) -> None:
    old, new = Worker("old"), Worker("new")
    async with gateway(tmp_path) as one, httpx.AsyncClient() as http:
        servers = [await old.start(), await new.start()]
        assert not await one.ready()
        await one.client.put("fraud", plan(1, {OLD: 10_000}, {OLD: [old]}))
        assert not await one.ready()
        await one.client.mark_synced(1)
        await until(one.ready)
        await until(lambda: answers(one, http, "old"))
        view = await one.client.view("fraud")
        assert view.table == build_route_table("fraud", 1, [(1, 10_000, {"AllTraffic": 1.0})])
        assert view.alive[str(OLD)] == {"old": True}

        both = {OLD: [old], NEW: [new]}
        state = await one.client.put("fraud", plan(2, {OLD: 7_500, NEW: 2_500}, both))
        assert state.digests["fraud"] == plan(2, {OLD: 7_500, NEW: 2_500}, both).digest
        await until(lambda: alive(one, NEW))
        got = Counter([(await one.predict(http)).text for _ in range(200)])
        assert got.total() == 200 and 10 <= got["new"] <= 100  # six standard deviations and more around 50

        await one.client.put("fraud", plan(3, {NEW: 10_000}, {NEW: [new]}))
        assert set([(await one.predict(http)).text for _ in range(20)]) == {"new"}
        totals = await one.client.passed()
        assert set(totals.fleets) == {str(NEW)}
        for server in servers:
            server.close()


async def answers(one: Gateway, http: httpx.AsyncClient, text: str) -> bool:
    return (await one.predict(http)).text == text


async def alive(one: Gateway, fleet: FleetId) -> bool:
    return all((await one.client.view("fraud")).alive[str(fleet)].values())


@scenario
async def test_requests_under_way_are_finished_when_their_server_leaves(tmp_path: Path) -> None:
    slow, other = Worker("slow"), Worker("other")
    async with gateway(tmp_path) as one, httpx.AsyncClient(timeout=PATIENCE) as http:
        servers = [await slow.start(), await other.start()]
        await one.client.put("fraud", plan(1, {OLD: 10_000}, {OLD: [slow]}))
        await until(lambda: answers(one, http, "slow"))
        slow.release.clear()
        under_way = asyncio.create_task(one.predict(http))

        async def counted() -> bool:
            return (await one.client.passed()).fleets[str(OLD)].in_flight == 1

        await until(counted)
        await one.client.put("fraud", plan(1, {OLD: 10_000}, {OLD: [other]}))
        await until(lambda: answers(one, http, "other"))
        slow.release.set()
        assert (await under_way).text == "slow"
        for server in servers:
            server.close()


@scenario
async def test_agent_refuses_strangers_earlier_controllers_and_lower_fences(tmp_path: Path) -> None:
    worker = Worker("w")
    async with gateway(tmp_path) as one:
        server = await worker.start()
        stranger = AgentClient("g1", "127.0.0.1", "wrong", one.client.port)
        with pytest.raises(Transient, match="the token is not that of this gateway"):
            await stranger.state()
        await one.client.put("fraud", plan(5, {OLD: 10_000}, {OLD: [worker]}, controller=7))
        with pytest.raises(Conflict, match="controller 6 was replaced by 7"):
            await one.client.put("fraud", plan(9, {OLD: 10_000}, {OLD: [worker]}, controller=6))
        with pytest.raises(Conflict, match="fence 4 is below 5"):
            await one.client.put("fraud", plan(4, {OLD: 10_000}, {OLD: [worker]}, controller=7))
        assert (await one.client.view("fraud")).table.fence == 5
        with pytest.raises(Transient, match="the plan is not of endpoint other"):
            await one.client.put("other", plan(5, {OLD: 10_000}, {OLD: [worker]}, controller=7))
        await one.client.put("fraud", EndpointPlan(7, RouteTable("fraud", 6)))
        assert (await one.client.state()).digests == {}
        server.close()


@scenario
async def test_gateway_that_is_asked_to_end_finishes_its_requests(tmp_path: Path) -> None:
    worker = Worker("w")
    async with gateway(tmp_path) as one, httpx.AsyncClient(timeout=PATIENCE) as http:
        server = await worker.start()
        await one.client.put("fraud", plan(1, {OLD: 10_000}, {OLD: [worker]}))
        await one.client.mark_synced(1)
        await until(lambda: answers(one, http, "w"))
        worker.release.clear()
        under_way = asyncio.create_task(one.predict(http))

        async def counted() -> bool:
            return (await one.client.passed()).fleets[str(OLD)].in_flight == 1

        await until(counted)
        one.process.send_signal(signal.SIGTERM)

        async def not_ready() -> bool:
            return not await one.ready()

        await until(not_ready)
        worker.release.set()
        assert (await under_way).text == "w"
        assert await one.process.wait() == 0
        server.close()


@scenario
async def test_other_paths_are_no_way_to_the_agent(tmp_path: Path) -> None:
    async with gateway(tmp_path) as one, httpx.AsyncClient() as http:
        base = f"http://127.0.0.1:{one.port}"
        assert (await http.get(f"{base}/ping")).status_code == 503
        refused = await http.put(f"{base}/v1/endpoints/fraud", headers={"authorization": "Bearer secret"})
        assert refused.status_code == 404
        assert refused.json()["__type"] == "UnknownOperationException"


@scenario
async def test_settings_name_the_gateways_own_addresses(tmp_path: Path) -> None:
    given = AgentSettings(
        1, "t", "s", {"allowed_hosts": ["gateway"]}, signed=True, own_hosts=("POD_IP", "MISSING")
    )
    made = proxy_settings(given, {"POD_IP": "10.0.0.1"})
    assert made.allowed_hosts == ("gateway", "10.0.0.1") and made.access_keys
    assert not proxy_settings(replace(given, signed=False), {}).access_keys
