"""Traffic moves while the disk is full, read-only, broken or hangs; the files follow when it is well again."""

import errno
import json
import logging
import shutil
import threading

import pytest

from tests.proxy_harness import ENDPOINT, RANDOM, Faulty, ProxyHarness, each_haproxy, loaded, stand, until_it
from tests.small_disk import small_disk
from tidegate.domain.errors import Transient
from tidegate.domain.fleet import FleetId
from tidegate.proxy import recorder

pytestmark = [pytest.mark.slow, each_haproxy]

TROUBLES = [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT]


async def answers(running: ProxyHarness) -> set[bytes]:
    return {(await running.ask()).body for _ in range(20)}


def fence_on_disk(running: ProxyHarness) -> int:
    recorded = json.loads((running.folder / "proxy" / "proxy.json").read_text())
    return int(recorded["tables"][0]["fence"])


async def restarted(running: ProxyHarness) -> None:
    """The controller crashed and another one took over."""
    running.proxy = running.another()
    await running.proxy.start_or_adopt()


@pytest.mark.parametrize("trouble", TROUBLES, ids=errno.errorcode.get)
async def test_rollback_needs_no_disk(program: str, trouble: int, caplog: pytest.LogCaptureFixture) -> None:
    async with stand(program, files=Faulty()) as running:
        assert running.files is not None
        await running.fleet(1, "old")
        await running.fleet(2, "new")
        await running.share(1, {1: 5_000, 2: 5_000})
        running.files.error = trouble
        wanted = await running.share(2, {1: 10_000})
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        assert await answers(running) == {b"old"}
        for fence in range(3, 6):
            await running.share(fence, {1: 10_000})
            await running.proxy.ensure()
        assert running.proxy.trouble is not None
        assert "proxy.json cannot be written" in running.proxy.trouble
        assert fence_on_disk(running) == 1
        told = [one for one in caplog.records if one.levelno == logging.ERROR]
        assert len(told) == 1, told
        running.files.error = 0
        await running.proxy.ensure()
        assert running.proxy.trouble is None
        assert fence_on_disk(running) == 5


async def test_scaling_and_replacing_need_no_disk(program: str) -> None:
    async with stand(program, files=Faulty()) as running:
        assert running.files is not None
        await running.fleet(1, "a")
        await running.share(1, {1: 10_000})
        running.files.error = errno.ENOSPC
        await running.fleet(1, "b", "c")
        assert await answers(running) == {b"b", b"c"}
        dropped = await running.fleet(2, "d")
        await running.proxy.drop_fleet(dropped)
        await running.proxy.ensure()
        assert (await running.ask()).status == 200


async def test_a_restarted_controller_believes_the_proxy_more_than_an_old_file(program: str) -> None:
    async with stand(program, files=Faulty()) as running:
        assert running.files is not None
        await running.fleet(1, "old")
        await running.fleet(2, "new")
        await running.share(1, {2: 10_000})
        running.files.error = errno.ENOSPC
        wanted = await running.share(2, {1: 10_000})
        master = running.master
        async with loaded(running.port) as load:
            await restarted(running)
            await running.proxy.ensure()
            await load.more(100)
        assert not load.bad
        assert set(load.seen) == {"old"}
        assert running.master == master
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        await running.share(1, {2: 10_000})  # late, and refused by its fence
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        running.files.error = 0
        await running.proxy.ensure()
        assert fence_on_disk(running) == 2


async def test_a_proxy_that_dies_comes_back_as_it_was_though_its_files_are_old(program: str) -> None:
    async with stand(program, files=Faulty()) as running:
        assert running.files is not None
        await running.fleet(1, "old")
        await running.fleet(2, "new")
        await running.share(1, {2: 10_000})
        running.files.error = errno.ENOSPC
        wanted = await running.share(2, {1: 10_000})
        await running.fleet(1, "older")
        await running.kill()
        await running.proxy.ensure()
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        assert await answers(running) == {b"older"}
        await running.proxy.ensure()
        assert await running.proxy.up()


async def test_a_reload_that_cannot_be_written_loses_nothing(program: str) -> None:
    async with stand(program, slots={"r": 1, "l": 1}, files=Faulty()) as running:
        assert running.files is not None
        await running.fleet(1, "a")
        wanted = await running.share(1, {1: 10_000})
        running.files.error = errno.ENOSPC
        with pytest.raises(Transient, match=r"haproxy\.cfg cannot be written: No space left on device"):
            await running.fleet(2, "b")
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        assert await answers(running) == {b"a"}
        running.files.error = 0
        await running.fleet(2, "b")
        await running.share(2, {2: 10_000})
        assert await answers(running) == {b"b"}


async def test_a_disk_that_hangs_holds_no_traffic_back(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "WRITE_TIMEOUT", 0.05)

    async with stand(program, files=Faulty()) as running:
        assert running.files is not None
        await running.fleet(1, "old")
        await running.fleet(2, "new")
        await running.share(1, {2: 10_000})
        running.files.hang = threading.Event()
        wanted = await running.share(2, {1: 10_000})
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        wanted = await running.share(3, {1: 10_000})
        assert (await running.proxy.view(ENDPOINT)).routes == wanted
        assert "the disk does not respond" in str(running.proxy.trouble)
        running.files.hang.set()

        async def well() -> bool:
            await running.proxy.ensure()
            return running.proxy.trouble is None

        await until_it(well, "the files written")
        assert fence_on_disk(running) == 3


async def test_on_a_disk_that_is_full_the_files_stay_whole_and_new(program: str) -> None:
    """The same on a real file system: what was set aside before is enough for all that has to be written."""
    folder = Faulty().folder

    with small_disk(folder) as disk:
        files = Faulty(folder=folder)
        async with stand(program, slots={"r": 2, "l": 1}, files=files) as running:
            await running.fleet(1, "old")
            await running.fleet(2, "new")
            await running.share(1, {2: 10_000})
            disk.fill()
            await running.share(2, {1: 10_000})
            assert await answers(running) == {b"old"}
            assert (running.proxy.trouble, fence_on_disk(running)) == (None, 2)
            await running.kill()
            await running.proxy.ensure()
            assert await answers(running) == {b"old"}
            await restarted(running)
            await running.fleet(3, "third")  # a slot more: a reload
            wanted = await running.share(3, {1: 1, 3: 9_999})
            assert (await running.proxy.view(ENDPOINT)).routes == wanted
            await running.kill()
            await running.proxy.ensure()
            assert (await running.proxy.view(ENDPOINT)).routes == wanted
            assert running.proxy.trouble is None
            fleet = FleetId(ENDPOINT, 3, "blue")
            await running.proxy.set_fleet(fleet, RANDOM, {"third": running.folder / "third"})
    shutil.rmtree(folder.parent)
