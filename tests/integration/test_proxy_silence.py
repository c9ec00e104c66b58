"""A HAProxy that is stopped, in whole or in part, is alive and silent: another takes its place."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from tests.proxy_harness import ENDPOINT, ProxyHarness, each_haproxy, loaded, stand, until, until_it
from tidegate.host import process_stats

pytestmark = [pytest.mark.slow, each_haproxy]


def family(running: ProxyHarness) -> list[psutil.Process]:
    """The master and its workers, the master first."""
    master = psutil.Process(running.master)
    return [master, *master.children()]


def ended(processes: list[psutil.Process]) -> bool:
    """Dead, though nobody may have taken note of it yet."""
    return not any(process_stats.process_state(process.pid) for process in processes)


@contextmanager
def stopped(processes: list[psutil.Process]) -> Iterator[None]:
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()


async def serves_again(running: ProxyHarness, former: psutil.Process) -> None:
    """``ensure`` again and again, as the controller does."""

    async def answers() -> bool:
        await running.proxy.ensure()
        return running.master != former.pid and (await running.ask()).body == b"a"

    await until_it(answers, "another serves")


@pytest.mark.parametrize("part", ["all", "worker", "master"])
async def test_a_proxy_that_is_stopped_is_killed_and_started_again_with_its_routes(
    program: str, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with stand(program) as running:
            await running.fleet(1, "a")
            wanted = await running.share(7, {1: 10_000})
            whole = family(running)
            some = {"all": whole, "worker": whole[1:], "master": whole[:1]}[part]
            with stopped(some):
                await serves_again(running, whole[0])
                assert ended(whole)
            assert (await running.proxy.view(ENDPOINT)).routes == wanted
    assert "is idle: it is stopped or hangs; killing" in caplog.text


async def test_calls_that_wait_for_a_stopped_proxy_fail_with_its_end_and_do_not_hold_up_the_next(
    program: str,
) -> None:
    """More of them than the socket's queue takes, one after the other under the lock."""

    async with stand(program) as running:
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        whole = family(running)
        with stopped(whole):
            calls = [asyncio.create_task(running.share(2, {1: 10_000})) for _ in range(60)]
            looks = [asyncio.create_task(running.proxy.view(ENDPOINT)) for _ in range(60)]
            await serves_again(running, whole[0])
            await asyncio.gather(*calls, *looks, return_exceptions=True)
        assert ((await running.proxy.view(ENDPOINT)).routes).fence == 2


async def test_a_controller_that_finds_a_stopped_proxy_replaces_it(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a")
        wanted = await running.share(3, {1: 10_000})
        whole = family(running)
        with stopped(whole):
            running.proxy._watchdog.stop()  # that controller is gone
            running.proxy = running.another()
            await running.proxy.start_or_adopt()
            assert ended(whole)
        assert (await running.ask()).body == b"a"
        assert (await running.proxy.view(ENDPOINT)).routes == wanted


async def test_a_proxy_under_load_is_left_alone(program: str) -> None:
    async with stand(program) as running:
        await running.fleet(1, "a", "b")
        await running.share(1, {1: 10_000})
        master, looks = running.master, 0
        look = running.proxy._watchdog.look

        async def counted(pid: int) -> object:
            nonlocal looks
            looks += 1
            return await look(pid)

        running.proxy._watchdog.look = counted  # type: ignore[method-assign,assignment]
        async with loaded(running.port, clients=32) as load:
            await until(lambda: looks > 6, "some probes")
        assert not load.bad and running.master == master
