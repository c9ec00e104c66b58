"""A local target of a test's own: real folders, real processes, and a stand-in for the router."""

import asyncio
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import msgspec

from tidegate.domain.admission import DEFAULT_ADMISSION, Admission
from tidegate.domain.fleet import FleetId, FleetSpec, RoutingStrategy, VariantSpec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.traffic import RouteTable
from tidegate.host.atomic_write import write_private
from tidegate.host.installation import Installation
from tidegate.ports.router import Demand, ServerAddress, View
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, encode
from tidegate.targets.local.device_pool import DevicePool
from tidegate.targets.local.on_demand import WakeUp
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.process import NOTE, Identity
from tidegate.targets.local.start_queue import StartQueue
from tidegate.targets.local.supervisor_context import SupervisorContext
from tidegate.targets.local.target import LocalTarget

FLEET = FleetId("fraud", 1, "main")
MODEL = Model("m", (ContainerDefinition("test/program"),), datetime(2026, 1, 1, tzinfo=UTC))


SERVES = """\
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def spec(count: int, id: FleetId = FLEET) -> FleetSpec:
    return FleetSpec(id, "fraud-v1", VariantSpec(id.variant, MODEL, count), count)


@dataclass
class StandInRouter:
    """Remembers what it was told. ``trouble`` is raised by the next calls."""

    fleets: dict[FleetId, dict[str, ServerAddress]] = field(default_factory=dict)
    trouble: list[Exception] = field(default_factory=list)
    limits: dict[FleetId, dict[str, int]] = field(default_factory=dict)
    admissions: dict[FleetId, Admission] = field(default_factory=dict)
    demands: dict[FleetId, Demand] = field(default_factory=dict)
    history: list[set[str]] = field(default_factory=list)
    """The replicas that it was told of, each time."""
    first: dict[FleetId, int] = field(default_factory=dict)
    """In which order fleets had their first replicas."""
    tables: dict[str, RouteTable] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    """Replicas that it takes for dead."""
    asking: int = 0
    most_asking: int = 0

    async def set_fleet(
        self,
        fleet: FleetId,
        routing: RoutingStrategy,
        servers: Mapping[str, ServerAddress],
        limits: Mapping[str, int] = MappingProxyType({}),
        admission: Admission = DEFAULT_ADMISSION,
    ) -> None:
        if self.trouble:
            raise self.trouble.pop()
        self.fleets[fleet] = {name: one for name, one in servers.items() if isinstance(one, Path)}
        if servers:
            self.first.setdefault(fleet, len(self.first))
        self.history.append(set(servers))
        self.limits[fleet] = dict(limits)
        self.admissions[fleet] = admission

    async def demand(self, fleet: FleetId) -> Demand:
        return self.demands.get(fleet, Demand(0, 0))

    async def in_flight(self, fleet: FleetId) -> dict[str, int]:
        return {}

    async def drop_fleet(self, fleet: FleetId) -> None:
        self.fleets.pop(fleet, None)

    def endpoints(self) -> set[str]:
        return set(self.tables)

    def is_routed(self, fleet: FleetId) -> bool:
        return any(route.fleet == fleet for table in self.tables.values() for route in table.routes)

    async def set_routes(self, table: RouteTable) -> None:
        if table.fence >= self.tables.get(table.endpoint, table).fence:
            self.tables.pop(table.endpoint, None)
            if table.routes:
                self.tables[table.endpoint] = table

    async def view(self, endpoint: str) -> View:
        self.asking += 1
        self.most_asking = max(self.most_asking, self.asking)
        await asyncio.sleep(0)
        self.asking -= 1
        mine = {id: servers for id, servers in self.fleets.items() if id.endpoint == endpoint}
        alive = {id: {name: name not in self.down for name in servers} for id, servers in mine.items()}
        return View(self.tables.get(endpoint, RouteTable(endpoint, 0)), alive)

    async def views(self, endpoints: Collection[str]) -> dict[str, View]:
        return {endpoint: await self.view(endpoint) for endpoint in endpoints}


class _Ping(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1000)
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@dataclass
class LocalTargetHarness:
    folders: Folders
    command: tuple[str, ...] = ()
    router: StandInRouter = field(default_factory=StandInRouter)
    harvested: list[tuple[str, bytes]] = field(default_factory=list)
    servers: list[socketserver.BaseServer] = field(default_factory=list)
    replicas: int = 0
    startup_timeout: float = 20.0
    drain_timeout: float = 5.0
    starts: StartQueue = field(default_factory=StartQueue)
    devices: DevicePool = field(default_factory=DevicePool)

    def context(self) -> SupervisorContext:
        return SupervisorContext(
            folders=self.folders,
            router=self.router,
            environment=dict(os.environ),
            describe=self.describe,
            fits=lambda start: b"old keys" not in start,
            new_id=self.new_id,
            changed=lambda endpoint: None,
            harvest=lambda fleet, replica, page: self.harvested.append((replica, page)),
            drain_timeout=self.drain_timeout,
            patience=30,
            starts=self.starts,
            devices=self.devices,
        )

    def target(self) -> LocalTarget:
        target = LocalTarget(self.context())
        target.start()
        return target

    def new_id(self, kind: str) -> str:
        self.replicas += 1
        return f"{kind}-{self.replicas}"

    def describe(
        self, fleet: FleetSpec, replica: str, waking: WakeUp | None = None, devices: tuple[str, ...] = ()
    ) -> bytes:
        return encode(
            ReplicaSpec(
                replica=replica,
                fleet=fleet.id,
                config_name=fleet.config_name,
                containers=(
                    ContainerSpec(
                        runtime=RuntimeChoice(RuntimeKind.PROGRAM, self.command),
                        model_dir=str(self.folders.model(fleet.id)),
                    ),
                ),
                socket=str(self.folders.socket(replica)),
                startup_timeout=self.startup_timeout,
                devices=devices,
            )
        )

    def sleeper(self) -> "AbstractContextManager[subprocess.Popen[bytes]]":
        """A process that a controller of this folder would adopt."""
        return sleeper(self.folders.installation)

    @contextmanager
    def worker_in(self, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
        """A process with the command line of a worker, in the folder of a replica."""
        mark, code = self.folders.installation.python, "import time; time.sleep(120)"
        command = [sys.executable, "-ISE", *mark, "-c", code, "-m", "tidegate.serving", f"{folder}/replica.json"]
        with subprocess.Popen(command, cwd=folder, start_new_session=True) as process:
            yield process
            process.kill()

    def answer(self, socket: Path) -> None:
        """Answers pings on a socket of a replica's, until the end of the stand."""
        server = socketserver.ThreadingUnixStreamServer(str(socket), _Ping)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.servers.append(server)

    def listen(self, path: Path) -> socket.socket:
        """A socket that takes connections and answers nothing."""
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen(100)
        return listening

    def close(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def left(
        self,
        replica: str,
        process: "subprocess.Popen[bytes]",
        *marks: str,
        start: bytes | None = None,
        answers: bool = True,
        fleet: FleetId = FLEET,
    ) -> Path:
        """What an earlier controller left of a replica that runs as ``process``, and answers on its socket."""
        folder = self.folders.replica(fleet, replica)
        write_private(folder / "replica.json", start or self.describe(spec(1, fleet), replica))
        identity = Identity.of(process.pid)
        write_private(folder / NOTE, msgspec.json.encode(identity))
        for mark in marks:
            (folder / mark).touch()
        if start is None and answers:
            self.answer(self.folders.socket(replica))
        return folder


@contextmanager
def stand(command: tuple[str, ...] = ()) -> Iterator[LocalTargetHarness]:
    """In a short path: a unix socket's is limited."""
    with TemporaryDirectory(prefix="tg-") as name:
        state = Path(name) / "state"
        state.mkdir()
        folders = Folders(state, Path(name) / "s", Installation.take(state))
        folders.prepare()
        made = LocalTargetHarness(folders, command)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def sleeper(installation: Installation | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """A process in a session of its own, in place of a worker of the installation that is only looked at."""
    words = () if installation is None else (*installation.python, str(installation.root))
    option, path = words[:2], words[2:]
    command = [sys.executable, "-ISE", *option, "-c", "import time; time.sleep(120)", *path]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def program(folder: Path, text: str) -> tuple[str, ...]:
    path = folder / "program.py"
    path.write_text(text)
    return (sys.executable, str(path))


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(test)


async def until(condition: Callable[[], object], what: str, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.02)
