"""Which workers are forked, when the fork server starts, and what is known of a forked worker that has ended."""

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.unit.targets.local.local_harness import FLEET, LocalTargetHarness, run, sleeper, spec, stand, until
from tidegate.domain.fleet import FleetId, FleetSpec, Serverless
from tidegate.host.installation import Installation
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.fork_groups import GROUPS, THREADS
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, encode
from tidegate.serving.contract.runtime import TABLES
from tidegate.targets.local import replica_processes
from tidegate.targets.local.fork_server import ForkServer, ForkServers
from tidegate.targets.local.process import Identity, Process
from tidegate.targets.local.target import SHARED_FROM, LocalTarget


class Unstarted(ForkServer):
    """Notes that it was asked for, and never runs."""

    def ensure(self) -> None:
        self._started = 1.0

    def fork(self, start: Path, log_file: Path) -> None:
        return None


class UnstartedServers(ForkServers):
    def __init__(self, installation: Installation) -> None:
        self._servers = {group: Unstarted(installation, {}, group) for group in GROUPS}


def serverless() -> FleetSpec:
    dedicated = spec(1)
    return replace(dedicated, variant=replace(dedicated.variant, serverless=Serverless(1 << 30, 5)))


def start_file(threads: str | None) -> bytes:
    environment = {} if threads is None else {"OMP_NUM_THREADS": threads}
    model = ContainerSpec(runtime=RuntimeChoice(RuntimeKind.XGBOOST), model_dir="/m", environment=environment)
    return encode(ReplicaSpec(replica="r", fleet=FLEET, config_name="c", containers=(model,), socket="/s"))


@pytest.mark.parametrize(
    ("fleet", "wanted", "threads", "forked"),
    [
        (serverless(), False, None, True),
        (serverless(), True, "4", True),
        (spec(1), False, None, False),
        (spec(1), True, None, True),
        (spec(1), True, "1", True),
        (spec(1), True, "4", False),
    ],
)
def test_a_dedicated_worker_is_forked_only_where_the_server_runs_anyway_and_one_thread_is_enough(
    fleet: FleetSpec, wanted: bool, threads: str | None, forked: bool
) -> None:
    with stand() as here:
        servers = UnstartedServers(here.folders.installation)
        server = servers[TABLES]
        if wanted:
            server.ensure()
        context = replace(here.context(), fork_servers=servers)
        found = replica_processes._find_fork_server(context, fleet, start_file(threads))
        assert (found is server) is forked


@pytest.mark.parametrize(
    ("fleets", "wanted"),
    [([spec(1)], False), ([spec(SHARED_FROM - 1)], False), ([spec(SHARED_FROM)], True), ([serverless()], True)],
)
def test_the_fork_server_starts_for_the_first_serverless_endpoint_or_for_many_workers(
    fleets: list[FleetSpec], wanted: bool
) -> None:
    async def story(here: LocalTargetHarness, servers: ForkServers) -> None:
        target = LocalTarget(replace(here.context(), fork_servers=servers))
        target.start()
        for fleet in fleets:
            await target.ensure_fleet(fleet, 1)
        assert [group for group in GROUPS if servers[group].wanted] == [TABLES] * wanted
        await target.drain_all()

    with stand(("false",)) as here:
        run(story(here, UnstartedServers(here.folders.installation)))


def test_where_a_fork_server_runs_a_new_fleet_is_the_only_one_that_is_looked_at() -> None:
    looked = list[str]()

    def group(fleet: FleetSpec) -> str:
        looked.append(fleet.id.endpoint)
        return TABLES

    async def story(here: LocalTargetHarness) -> None:
        servers = UnstartedServers(here.folders.installation)
        target = LocalTarget(replace(here.context(), fork_servers=servers, fork_group=group))
        target.start()
        for name in ("one", "two", "three"):
            await target.ensure_fleet(replace(serverless(), id=FleetId(name, 1, "main")), 1)
            assert set(looked) == {name}
            looked.clear()
        await target.drain_all()

    with stand(("false",)) as here:
        run(story(here))


def test_each_library_is_imported_for_the_endpoints_that_use_it_and_no_others() -> None:
    """Also at the next start of the server, which finds the fleets on disk."""
    torch = replace(serverless(), id=FleetId("images", 1, "main"))
    few, many = (
        replace(spec(count), id=FleetId(name, 1, "main"))
        for name, count in (("few", SHARED_FROM - 1), ("mlflow", SHARED_FROM))
    )
    groups = {"images": "pytorch", "few": TABLES, "mlflow": "mlflow"}

    async def story(here: LocalTargetHarness) -> None:
        def target(servers: ForkServers) -> LocalTarget:
            context = replace(here.context(), fork_servers=servers)
            return LocalTarget(replace(context, fork_group=lambda fleet: groups[fleet.id.endpoint]))

        seen = []
        servers = UnstartedServers(here.folders.installation)
        first = target(servers)
        first.start()
        for fleet in (few, torch, many):
            await first.ensure_fleet(fleet, 1)
            seen.append([group for group in GROUPS if servers[group].wanted])
        assert seen == [[], ["pytorch"], ["pytorch", "mlflow"]]
        assert replica_processes._find_fork_server(first._context, torch, start_file("2")) is servers["pytorch"]
        await first.detach()
        again = UnstartedServers(here.folders.installation)
        second = target(again)
        second.start()
        assert [group for group in GROUPS if again[group].wanted] == ["pytorch", "mlflow"]
        await second.drain_all()

    with stand(("false",)) as here:
        run(story(here))


@pytest.mark.parametrize("code", [THREADS, 1])
def test_a_fork_server_that_cannot_start_is_tried_again_later_or_never(
    code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``code``: with which its process ends. The pause doubles; where a library starts threads, there is no next."""
    started, clock = [], [1000.0]

    class Ended:
        returncode = code

        def __init__(self, *_: object, **__: object) -> None:
            started.append(clock[0])

        def poll(self) -> int:
            return code

        def kill(self) -> None:
            pass

        wait = poll

    monkeypatch.setattr(subprocess, "Popen", Ended)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with stand() as here:
        server = ForkServer(here.folders.installation, {}, "pytorch")
        for _ in range(40):
            server.ensure()
            clock[0] += 1.0
        server.close()
    assert [at - 1000.0 for at in started] == ([0.0] if code == THREADS else [0.0, 10.0, 30.0])
    assert "nursery-pytorch.log" in caplog.text


def test_a_forked_worker_that_has_ended_leaves_its_exit_code() -> None:
    """By the real fork server: one that finds nothing to work on in its replica file, and one that is killed. Each is
    looked for from its beginning on, as the fork server leaves a zombie for seconds only."""
    with stand() as here:
        server = ForkServer(here.folders.installation, dict(os.environ))
        forked: list[Process] = []

        def fork(name: str, content: bytes) -> bool:
            file = here.folders.replica(FLEET, name) / "replica.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            if (process := server.fork(file, here.folders.log(FLEET, name))) is not None:
                forked.append(process)
            return process is not None

        async def story() -> None:
            await until(lambda: fork("r-broken", b"{"), "the fork server is ready")
            assert await code_of(forked[0]) == 2
            assert fork("r-waiting", waiting(here))
            killed = forked[1]
            assert killed.exit_code is None, "it runs"
            killed.kill()
            assert await code_of(killed) == -signal.SIGKILL
            pids = [process.identity.pid for process in forked]
            await until(lambda: not any(map(psutil.pid_exists, pids)), "no zombie stays for good")

        try:
            run(story())
        finally:
            server.close()


async def code_of(process: Process) -> int:
    """One that is about to end is not alive, and has no code before it is a zombie."""
    codes: list[int] = []

    def ended() -> bool:
        codes.extend(code for code in (process.exit_code,) if code is not None)
        return bool(codes)

    await until(ended, "it has ended")
    return codes[0]


def waiting(here: LocalTargetHarness) -> bytes:
    """The replica file of a worker that serves a program which never answers."""
    here.command = ("sleep", "60")
    return here.describe(spec(1), "r-waiting")


def test_the_exit_code_of_a_zombie_is_read_and_that_of_another_process_with_its_pid_is_not() -> None:
    with sleeper() as process:
        identity = Identity.of(process.pid)
        assert identity is not None
        forked, earlier = Process(identity), Process(Identity(process.pid, identity.started + "0"))
        assert forked.exit_code is None
        process.kill()

        async def ended() -> None:
            await until(lambda: not forked.alive, "it has ended")

        run(ended())
        assert [one.exit_code for one in (forked, earlier)] == [-signal.SIGKILL, None]
        process.wait()
        assert forked.exit_code is None, "unknown"
