"""Devices of replicas on this machine, with a fake list of devices: nothing here touches a GPU."""

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from signal import SIGSTOP
from subprocess import PIPE, Popen

import psutil
import pytest

from tests.unit.targets.local.local_harness import (
    FLEET,
    SERVES,
    LocalTargetHarness,
    program,
    run,
    spec,
    stand,
    until,
)
from tidegate.domain.devices import VARIABLE, Device, DeviceReading, Holder
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.host.process_stats import process_state
from tidegate.settings import Settings
from tidegate.targets.local.device_pool import DevicePool, devices_of, visible_devices
from tidegate.targets.local.process import cleaned
from tidegate.targets.local.provider import capabilities, device_pool
from tidegate.targets.local.replica import SERVED, START
from tidegate.targets.local.resource_usage import STALE, DeviceMonitor
from tidegate.targets.local.supervisor_context import DesiredFleet, save_desired
from tidegate.targets.local.target import LocalTarget

FAKES = (Device("fake0", 2**30), Device("fake1", 2**30))
OTHER = FleetId("fraud", 2, "main")


def asking(count: int, devices: int, id: FleetId = FLEET) -> FleetSpec:
    made = spec(count, id)
    return replace(made, variant=replace(made.variant, devices=devices))


def with_fakes(here: LocalTargetHarness) -> LocalTargetHarness:
    here.devices = DevicePool.of(FAKES, follows_types=False)
    return here


def environments(target: LocalTarget) -> list[str]:
    """What each replica's worker, and the program that it runs, sees."""
    found = []
    for fleet in target._fleets.values():
        for replica in fleet.replicas.values():
            worker = psutil.Process(replica.process.identity.pid)
            seen = {one.environ()[VARIABLE] for one in (worker, *worker.children(recursive=True))}
            found.append("|".join(sorted(seen)))
    return sorted(found)


def test_each_replica_sees_its_own_device_and_others_see_none(tmp_path: Path) -> None:
    with stand(program(tmp_path, SERVES)) as here:
        with_fakes(here)

        async def story() -> None:
            target = here.target()
            await target.ensure_fleet(asking(2, 1), 1)
            await target.ensure_fleet(spec(1, OTHER), 1)
            await until(lambda: target.ready_count(FLEET) == 2 and target.ready_count(OTHER) == 1, "all are ready")
            assert environments(target) == ["", "fake0", "fake1"]
            seen = target.seen(FLEET)
            assert seen is not None and sorted(names for _, names in seen.devices) == [("fake0",), ("fake1",)]
            assert {one.devices for one in target.serving()} == {("fake0",), ("fake1",), ()}
            await target.delete_fleet(FLEET, 1)
            await until(lambda: target.seen(FLEET) is None, "it is gone")
            assert here.devices.assigned.free == ("fake0", "fake1")
            await target.drain_all()

        run(story())


def test_two_fleets_that_need_the_same_devices_are_not_both_admitted() -> None:
    with stand(("sleep", "60")) as here:
        with_fakes(here)

        async def story() -> None:
            target = here.target()
            await target.ensure_fleet(asking(2, 1), 1)
            with pytest.raises(TargetRefused, match=r"asks for 1 device, 0 of 2 are free \(fraud/1/main has 2\)"):
                await target.ensure_fleet(asking(1, 1, OTHER), 1)
            assert target.seen(OTHER) is None
            await target.drain_all()

        run(story())


def test_a_start_waits_for_the_end_of_a_replica_that_leaves(tmp_path: Path) -> None:
    """The fleet was admitted, since the other one is to go: that is no failed start."""
    with stand(program(tmp_path, SERVES)) as here, here.sleeper() as leaving:
        with_fakes(here)
        here.drain_timeout = 300.0  # so that a slow machine does not end it before the other fleet waits
        first = asking(1, 2)
        save_desired(here.folders, DesiredFleet(first, 1))
        here.left("r-a", leaving, SERVED, start=here.describe(first, "r-a", None, ("fake0", "fake1")))
        here.answer(here.folders.socket("r-a"))

        async def story() -> None:
            target = here.target()
            await until(lambda: target.ready_count(FLEET) == 1, "it is adopted")
            assert here.devices.assigned.free == ()
            leaving.send_signal(19)  # it takes its time to go
            await target.delete_fleet(FLEET, 1)
            await target.ensure_fleet(asking(1, 2, OTHER), 1)
            await until(lambda: here.devices._waiting, "the other waits")
            seen = target.seen(OTHER)
            assert seen is not None and (seen.failure, seen.starting, seen.ready) == (None, 0, 0)
            leaving.kill()
            leaving.wait()
            await until(lambda: target.ready_count(OTHER) == 1, "it has its turn")
            assert environments(target) == ["fake0,fake1"]
            await target.drain_all()

        run(story())


def test_a_later_controller_knows_whose_devices_they_are() -> None:
    with stand(("sleep", "60")) as here, here.sleeper() as process:
        with_fakes(here)
        first = asking(1, 1)
        save_desired(here.folders, DesiredFleet(first, 1))
        folder = here.left("r-a", process, SERVED, start=here.describe(first, "r-a", None, ("fake1",)))
        assert devices_of(folder, process.pid) == ("fake1",)

        async def story() -> None:
            target = here.target()
            assert here.devices.assigned.held == {"fake1": Holder(FLEET, "r-a")}
            await target.ensure_fleet(asking(1, 1, OTHER), 1)
            await until(lambda: not here.devices.assigned.free, "the other has the other one")
            assert {holder.fleet for holder in here.devices.assigned.held.values()} == {FLEET, OTHER}
            await target.drain_all()

        run(story())


def test_devices_of_a_fleet_whose_record_is_lost_stay_with_its_replicas() -> None:
    with stand(("sleep", "60")) as here, here.sleeper() as process:
        with_fakes(here)
        first = asking(1, 1)
        save_desired(here.folders, DesiredFleet(first, 1))
        here.left("r-a", process, SERVED, start=here.describe(first, "r-a", None, ("fake0",)))
        here.folders.desired_file(FLEET).write_text("{")

        async def story() -> None:
            target = here.target()
            assert here.devices.assigned.held == {"fake0": Holder(FLEET, "r-a")}
            await target.ensure_fleet(first, 1)  # asked for again, it takes its replica up
            assert here.devices.assigned.held == {"fake0": Holder(FLEET, "r-a")}
            await target.drain_all()

        run(story())


def test_a_replica_whose_start_file_is_lost_keeps_its_device_until_it_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is replaced, and takes its time to go: another one with its device would find that in use."""
    monkeypatch.setenv(VARIABLE, "fake0")
    with stand(("sleep", "60")) as here, here.sleeper() as process:
        with_fakes(here)
        first = asking(1, 1)
        save_desired(here.folders, DesiredFleet(first, 1))
        folder = here.left("r-a", process, SERVED, start=here.describe(first, "r-a", None, ("fake0",)))
        (folder / START).write_text("{")
        process.send_signal(SIGSTOP)

        async def story() -> None:
            target = here.target()
            assert here.devices.assigned.held["fake0"] == Holder(FLEET, "r-a")
            await until(lambda: not here.devices.assigned.free, "its successor has the other one")
            assert here.devices.assigned.held["fake0"] == Holder(FLEET, "r-a")
            process.kill()
            await target.drain_all()

        run(story())


def test_what_a_worker_that_ended_unseen_left_on_its_device_ends_before_another_has_it() -> None:
    first, environment = asking(1, 1), {VARIABLE: "fake0", "PATH": os.environ["PATH"]}
    leaving = Popen(["sh", "-c", "sleep 99 & read line"], stdin=PIPE, env=environment, start_new_session=True)
    with stand(("sleep", "60")) as here, leaving as worker:
        with_fakes(here)
        save_desired(here.folders, DesiredFleet(first, 1))
        here.left("r-a", worker, SERVED, start=here.describe(first, "r-a", None, ("fake0",)))

        async def story() -> None:
            await until(lambda: psutil.Process(worker.pid).children(), "it has a child")
            (child,) = psutil.Process(worker.pid).children()
            try:
                worker.communicate()
                assert child.is_running() and visible_devices(child.pid) == ("fake0",)
                target = here.target()
                await until(lambda: not process_state(child.pid), "the child has ended")
                await target.drain_all()
            finally:
                with suppress(psutil.Error):
                    child.kill()

        run(story())


def test_a_replica_with_a_device_of_another_one_is_replaced() -> None:
    """As a copied folder would have it."""
    with stand(("sleep", "60")) as here, here.sleeper() as one, here.sleeper() as other:
        with_fakes(here)
        for id, name, process in ((FLEET, "r-a", one), (OTHER, "r-b", other)):
            save_desired(here.folders, DesiredFleet(asking(1, 1, id), 1))
            start = here.describe(asking(1, 1, id), name, None, ("fake0",))
            here.left(name, process, SERVED, start=start, fleet=id)

        async def story() -> None:
            target = here.target()
            await until(lambda: other.poll() is not None, "the later one is told to stop")
            assert here.devices.assigned.held["fake0"] == Holder(FLEET, "r-a")
            await target.drain_all()

        run(story())


def test_a_machine_that_has_lost_devices_says_so() -> None:
    with stand(("sleep", "60")) as here:
        with_fakes(here)
        save_desired(here.folders, DesiredFleet(asking(1, 3), 1))

        async def story() -> None:
            target = here.target()
            await until(lambda: (seen := target.seen(FLEET)) is not None and seen.failure, "it is reported")
            seen = target.seen(FLEET)
            assert seen is not None and "asks for 3 devices, 2 of 2 are free" in str(seen.failure)
            assert here.devices.assigned.free == ("fake0", "fake1")
            await target.drain_all()

        run(story())


def test_a_start_that_fails_leaves_no_device_taken() -> None:
    with stand(("false",)) as here:
        with_fakes(here)

        async def story() -> None:
            target = here.target()
            here.folders.logs.chmod(0o500)
            here.folders.logs.rmdir()
            here.folders.logs.write_text("")  # a log cannot be opened
            await target.ensure_fleet(asking(1, 1), 1)
            await until(lambda: target._fleets[FLEET].failures.count, "it fails")
            assert here.devices.assigned.free == ("fake0", "fake1")
            await target.drain_all()

        run(story())


def test_every_process_of_the_server_sees_no_device_unless_it_has_one() -> None:
    assert cleaned({VARIABLE: "0,1"})[VARIABLE] == ""
    assert cleaned({}, ("fake0", "fake1"))[VARIABLE] == "fake0,fake1"


def test_the_devices_of_a_running_process_can_be_read() -> None:
    with stand() as here, here.sleeper() as process:
        assert visible_devices(process.pid) == ()
    assert visible_devices(2**22 + 1) == ()


def test_instance_types_count_under_the_rules_of_aws_on_a_machine_with_devices() -> None:
    kind = replace(spec(1), variant=replace(spec(1).variant, instance_type="ml.g5.xlarge"))
    counts = {
        name: device_pool(Settings(devices=devices, fidelity=fidelity), {}).count(kind)
        for name, devices, fidelity in (("aws", FAKES, "aws"), ("none", (), "aws"), ("own", FAKES, ""))
    }
    assert counts == {"aws": 1, "none": 0, "own": 0}
    assert capabilities(Settings()).devices


def test_a_driver_that_hangs_holds_up_nothing() -> None:
    now, calls = [0.0], list[tuple[str, ...]]()

    async def story() -> None:
        release = asyncio.Event()
        loop = asyncio.get_running_loop()

        def read(names: tuple[str, ...]) -> dict[str, DeviceReading]:
            calls.append(names)
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result(300)
            return {"fake0": DeviceReading(50.0, 10.0)}

        monitor = DeviceMonitor(read, lambda: now[0])  # type: ignore[arg-type]
        assert monitor.latest(["fake0"]) == {}
        assert monitor.latest(["fake0"]) == {}
        release.set()
        await until(lambda: monitor.latest([]), "it has answered")
        assert calls == [("fake0",)]
        now[0] = STALE + 1
        assert monitor.latest([]) == {}

    run(story())
