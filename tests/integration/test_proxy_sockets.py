"""HAProxy's sockets are gone, or lie elsewhere: another process takes the port over, and no request is lost."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.proxy_harness import ENDPOINT, RANDOM, ProxyHarness, Worker, each_haproxy, loaded, stand, until
from tidegate.domain.fleet import FleetId
from tidegate.host.clock import RandomIds
from tidegate.host.unix_sockets import MAX_FOLDER_LENGTH
from tidegate.proxy.haproxy import HAProxy

pytestmark = [pytest.mark.slow, each_haproxy]


def sockets(running: ProxyHarness) -> list[Path]:
    return [*running.proxy._sockets]


async def lose(running: ProxyHarness, which: str) -> None:
    found = sockets(running)
    for path in found if which == "all" else [path for path in found if path.name == which]:
        path.unlink()


@pytest.mark.parametrize("which", ["all", "haproxy.sock", "master.sock", "copies.sock"])
async def test_sockets_that_are_gone_are_made_anew_under_load(program: str, which: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a", "b")
        wanted = await running.share(1, {1: 10_000})
        master = running.master
        async with loaded(running.port) as load:
            await load.more(50)
            await lose(running, which)
            await running.proxy.ensure()
            assert running.master != master
            assert all(path.is_socket() for path in sockets(running))
            assert (await running.proxy.view(ENDPOINT)).routes == wanted
            await load.more(200)
            await running.fleet(1, "a")
            await running.proxy.ensure()
            await load.more(50)
        assert not load.bad
        await until(lambda: not psutil.pid_exists(master), "the one before has ended with its last client")


async def test_a_proxy_that_hangs_and_has_lost_its_sockets_is_restarted(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        master = psutil.Process(running.master)
        for process in [*master.children(), master]:
            os.kill(process.pid, signal.SIGSTOP)
        await lose(running, "all")
        await running.proxy.ensure()
        assert running.master != master.pid
        assert (await running.ask()).body == b"a"


@pytest.mark.parametrize("gone", [False, True])
async def test_a_controller_with_another_folder_for_sockets_takes_over_what_runs(program: str, gone: bool) -> None:
    """An earlier version put them elsewhere, or a variable has changed; or they were removed meanwhile."""

    async with stand(program) as running:
        await running.fleet(1, "a", "b")
        wanted = await running.share(1, {1: 10_000})
        former, copies = running.master, running.proxy.copies
        async with loaded(running.port) as load:
            await load.more(50)
            if gone:
                await lose(running, "all")
            folder = running.folder / "run"
            folder.mkdir()
            controller = folder / "controller.sock"
            running.proxy = HAProxy(running.settings, running.folder, controller, running.slots)
            await running.proxy.start_or_adopt()
            assert running.master != former
            assert (await running.proxy.view(ENDPOINT)).routes == wanted
            assert all(path.parent == folder and path.is_socket() for path in sockets(running))
            assert copies.resolve() == running.proxy.copies, "replicas of the earlier version reach it still"
            await load.more(100)
        assert not load.bad


async def test_proxy_takes_a_replica_in_the_longest_folder_that_may_hold_sockets(program: str) -> None:
    async with stand(program) as running:
        folder = running.folder / ("x" * (MAX_FOLDER_LENGTH - len(str(running.folder)) - 1))
        folder.mkdir()
        replica, fleet = RandomIds().new("r"), FleetId(ENDPOINT, 1, "blue")
        socket = folder / f"{replica}.sock"
        running.workers[replica] = Worker("a", socket)
        await running.workers[replica].start()
        await running.proxy.set_fleet(fleet, RANDOM, {replica: socket})
        await running.share(1, {1: 10_000})
        assert (await running.ask()).body == b"a"
