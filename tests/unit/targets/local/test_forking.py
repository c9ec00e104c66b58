"""Which workers are forked, when the fork server starts, and what is known of a forked worker that has ended."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.unit.targets.local.local_harness import FLEET, LocalTargetHarness, run, sleeper, spec, stand, until
from tidegate.domain.fleet import FleetSpec, Serverless
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, encode
from tidegate.targets.local import replica_processes
from tidegate.targets.local.fork_server import ForkServer
from tidegate.targets.local.process import Identity, Process
from tidegate.targets.local.target import SHARED_FROM, LocalTarget


class Unstarted(ForkServer):
    """Notes that it was asked for, and never runs."""

    def ensure(self) -> None:
        self._started = 1.0

    def fork(self, start: Path, log_file: Path) -> None:
        return None


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
        server = Unstarted(here.folders.installation, {})
        if wanted:
            server.ensure()
        context = replace(here.context(), fork_server=server)
        found = replica_processes._find_fork_server(context, fleet, start_file(threads))
        assert (found is server) is forked


@pytest.mark.parametrize(
    ("fleets", "wanted"),
    [([spec(1)], False), ([spec(SHARED_FROM - 1)], False), ([spec(SHARED_FROM)], True), ([serverless()], True)],
)
def test_the_fork_server_starts_for_the_first_serverless_endpoint_or_for_many_workers(
    fleets: list[FleetSpec], wanted: bool
) -> None:
    async def story(here: LocalTargetHarness, server: ForkServer) -> None:
        target = LocalTarget(replace(here.context(), fork_server=server))
        target.start()
        for fleet in fleets:
            await target.ensure_fleet(fleet, 1)
        assert server.wanted is wanted
        await target.drain_all()

    with stand(("false",)) as here:
        run(story(here, Unstarted(here.folders.installation, {})))


def test_a_forked_worker_that_has_ended_leaves_its_exit_code() -> None:
    """By the real fork server, which finds nothing to work on in the replica files, and a worker that is killed."""
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
            assert fork("r-waiting", waiting(here))
            broken, killed = forked
            assert killed.exit_code is None, "it runs"
            killed.kill()
            await until(lambda: not broken.alive and not killed.alive, "both have ended")
            assert [process.exit_code for process in forked] == [2, -signal.SIGKILL]
            pids = [process.identity.pid for process in forked]
            await until(lambda: not any(map(psutil.pid_exists, pids)), "no zombie stays for good")

        try:
            run(story())
        finally:
            server.close()


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
