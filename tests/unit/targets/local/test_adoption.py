"""What a controller that comes later makes of what an earlier one left."""

import asyncio
import os
import shutil
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from tests.unit.targets.local.local_harness import FLEET, MODEL, SERVES, program, run, sleeper, spec, stand, until
from tidegate.domain.errors import Transient
from tidegate.domain.fleet import FleetId, FleetSpec, Mirroring
from tidegate.domain.traffic import Route, RouteTable
from tidegate.host.installation import Installation
from tidegate.targets.local.process import NOTE, Identity
from tidegate.targets.local.replica import RETIRED, SERVED
from tidegate.targets.local.supervisor_context import DesiredFleet, save_desired
from tidegate.targets.local.target import MOST_ASKING


def test_a_replica_that_was_told_to_stop_is_not_given_requests_again() -> None:
    """Two run and one is wanted: were the one that stops taken for the one to keep, none would be left."""
    with stand() as here, here.sleeper() as stops, here.sleeper() as stays:
        save_desired(here.folders, DesiredFleet(spec(1), 3))
        here.left("r-a", stops, SERVED, RETIRED)
        here.left("r-b", stays, SERVED)

        async def story() -> None:
            target = here.target()
            await until(lambda: here.router.fleets.get(FLEET), "the router was told")
            assert set(here.router.fleets[FLEET]) == {"r-b"}
            await until(lambda: stops.poll() is not None, "the other is told to stop again")
            await until(lambda: target.ready_count(FLEET) == 1, "one is ready")
            assert stays.poll() is None
            await target.detach()

        run(story())


def test_the_youngest_goes_whatever_its_name_is() -> None:
    with stand() as here, ExitStack() as processes:
        save_desired(here.folders, DesiredFleet(spec(1), 3))
        older = processes.enter_context(here.sleeper())
        here.left("r-z", older, SERVED)

        async def story() -> None:
            await asyncio.sleep(0.02)  # another clock tick, so that one is older
            younger = processes.enter_context(here.sleeper())
            here.left("r-a", younger, SERVED)
            target = here.target()
            await until(lambda: younger.poll() is not None, "the younger is told to stop")
            assert older.poll() is None
            await target.detach()

        run(story())


def test_fleets_that_are_still_taken_up_are_not_seen() -> None:
    with stand() as here, here.sleeper() as worker:
        save_desired(here.folders, DesiredFleet(spec(1), 3))
        here.left("r-a", worker, SERVED)
        here.router.trouble = [Transient("not yet")]

        async def story() -> None:
            target = here.target()
            assert (await target.observe("fraud")).fleets is None
            assert (await target.observe("other")).fleets == {}
            await until(lambda: not here.router.trouble, "the router was asked")
            await until(lambda: FLEET in here.router.fleets, "the router was asked again")
            fleets = (await target.observe("fraud")).fleets
            assert fleets is not None and fleets[FLEET].ready == 1
            await target.detach()

        run(story())


def test_a_replica_with_other_access_keys_is_replaced() -> None:
    with stand() as here, here.sleeper() as worker:
        save_desired(here.folders, DesiredFleet(spec(1), 3))
        here.left("r-a", worker, SERVED, start=b'{"socket": "/s", "keys_file": "old keys"}')

        async def story() -> None:
            target = here.target()
            await until(lambda: worker.poll() is not None, "it is told to stop")
            assert "r-a" not in here.router.fleets.get(FLEET, {})
            await target.drain_all()

        run(story())


def test_a_replica_keeps_the_socket_that_it_was_started_on() -> None:
    with stand() as here, here.sleeper() as worker:
        save_desired(here.folders, DesiredFleet(spec(1), 3))
        here.left("r-a", worker, SERVED, start=b'{"socket": "/elsewhere/r-a.sock"}')

        async def story() -> None:
            target = here.target()
            await until(lambda: here.router.fleets.get(FLEET), "the router was told")
            assert here.router.fleets[FLEET] == {"r-a": Path("/elsewhere/r-a.sock")}
            await target.detach()

        run(story())


def test_counts_and_sockets_of_a_replica_that_ended_meanwhile_are_taken() -> None:
    with stand() as here, here.sleeper() as worker:
        save_desired(here.folders, DesiredFleet(spec(0), 3))
        folder = here.left("r-a", worker, SERVED)
        (folder / "stats.json").write_bytes(b"counts")
        for ending in ("sock", "app"):
            (here.folders.sockets / f"r-a.{ending}").touch()
        worker.kill()
        worker.wait()

        async def story() -> None:
            target = here.target()
            await target.detach()

        run(story())
        assert here.harvested == [("r-a", b"counts")]
        assert not folder.exists()
        assert list(here.folders.sockets.iterdir()) == []


def test_a_model_that_an_interrupted_removal_left_is_not_given_to_the_next_fleet_of_the_name() -> None:
    with stand(("false",)) as here:
        left = here.folders.model(FLEET).with_name("model.complete")
        left.parent.mkdir(parents=True)
        left.touch()

        async def story() -> None:
            target = here.target()
            await target.ensure_fleet(spec(0), 1)
            assert not left.exists()
            await target.detach()

        run(story())


def test_a_removed_fleet_leaves_no_folder_and_trash_is_emptied_at_the_start() -> None:
    with stand() as here:
        (here.folders.trash / "fraud.7.main" / "model").mkdir(parents=True)

        async def story() -> None:
            target = here.target()
            assert list(here.folders.trash.iterdir()) == []
            await target.ensure_fleet(spec(0), 1)
            await target.delete_fleet(FLEET, 2)
            await until(lambda: target.spec(FLEET) is None, "it is gone")

        run(story())
        assert list(here.folders.fleets.iterdir()) == []
        assert list(here.folders.trash.iterdir()) == []


def test_an_endpoint_of_the_same_name_begins_again_at_one() -> None:
    with stand() as here:

        async def story() -> None:
            target = here.target()
            await target.ensure_fleet(spec(0), 40)
            await target.delete_fleet(FLEET, 41)
            await until(lambda: target.spec(FLEET) is None, "the former one is gone")
            await target.ensure_fleet(spec(0), 1)
            look = await target.observe("fraud")
            assert look.fleets is not None and set(look.fleets) == {FLEET}
            await target.detach()

        run(story())


def test_nothing_runs_for_a_wish_that_could_not_be_written() -> None:
    with stand(("false",)) as here:
        (here.folders.fleets / "fraud").write_text("in the way")

        async def story() -> None:
            target = here.target()
            with pytest.raises(Transient, match="cannot be written"):
                await target.ensure_fleet(spec(1), 1)
            look = await target.observe("fraud")
            assert look.fleets == {} and here.replicas == 0
            (here.folders.fleets / "fraud").unlink()
            await target.ensure_fleet(spec(0), 1)
            assert here.folders.desired_file(FLEET).exists()
            await target.detach()

        run(story())


def test_workers_of_a_wish_that_cannot_be_read_are_taken_up_when_the_fleet_is_asked_for() -> None:
    with stand() as here, here.sleeper() as worker:
        save_desired(here.folders, DesiredFleet(spec(1), 3))
        here.left("r-a", worker, SERVED)
        here.folders.desired_file(FLEET).write_bytes(msgspec.json.encode({"spec": "of another time"}))

        async def story() -> None:
            target = here.target()
            assert target.spec(FLEET) is None
            await target.ensure_fleet(spec(1), 4)
            await until(lambda: here.router.fleets.get(FLEET), "the router was told")
            assert set(here.router.fleets[FLEET]) == {"r-a"}
            assert here.replicas == 0, "no second one was started"
            await target.detach()

        run(story())


def test_hundreds_of_endpoints_do_not_ask_the_router_all_at_once() -> None:
    with stand() as here:

        async def story() -> None:
            target = here.target()
            looks = await asyncio.gather(*(target.observe(f"endpoint-{n}") for n in range(100)))
            assert all(look.routes is not None for look in looks)
            assert here.router.most_asking == MOST_ASKING

        run(story())


def test_a_fleet_of_another_endpoint_is_its_own() -> None:
    other = FleetId("other", 1, "main")
    with stand() as here:

        async def story() -> None:
            target = here.target()
            await target.ensure_fleet(spec(0), 1)
            await target.ensure_fleet(spec(0, other), 1)
            await target.delete_fleet(FLEET, 2)
            await until(lambda: target.spec(FLEET) is None, "one is gone")
            assert here.folders.desired_file(other).exists()
            await target.detach()

        run(story())


def test_a_deletion_that_is_asked_again_at_its_very_end_leaves_no_folder() -> None:
    async def test() -> None:
        with stand() as here:
            target = here.target()
            await target.ensure_fleet(spec(0), 1)
            await target.delete_fleet(FLEET, 2)
            here.folders.discard(FLEET)  # the supervisor does it, and has yet to say that it is done
            await target.delete_fleet(FLEET, 3)
            assert not here.folders.fleet(FLEET).exists()
            await target.detach()

    run(test())


def test_the_share_that_is_copied_lies_beside_the_fleet_and_follows_the_wish() -> None:
    async def test() -> None:
        with stand() as here:
            target, shadow = here.target(), FleetId("fraud", 1, "shadow")
            for fence, share in enumerate((2_000, 10_000, 0)):
                wanted = replace(spec(0), mirror=Mirroring(shadow, share))
                await target.ensure_fleet(wanted, fence)
                assert here.folders.share(FLEET).read_text() == str(share)
                fleets = (await target.observe("fraud")).fleets
                assert fleets is not None and fleets[FLEET].mirror == wanted.mirror
            await target.detach()

    run(test())


def other_model(count: int = 1) -> FleetSpec:
    return replace(
        spec(count),
        variant=replace(spec(1).variant, model=replace(MODEL, created_at=datetime(2027, 1, 1, tzinfo=UTC))),
    )


def test_a_fleet_of_the_same_id_that_runs_something_else_is_stopped_first() -> None:
    """A restored backup, or another store: ids come again, and stand for other models."""
    with stand(("false",)) as here, here.sleeper() as worker:
        save_desired(here.folders, DesiredFleet(spec(1), 70))
        here.left("r-a", worker, SERVED)
        left = here.folders.model(FLEET)
        left.mkdir()

        async def story() -> None:
            target = here.target()
            await until(lambda: target.ready_count(FLEET) == 1, "the old one is taken up")
            with pytest.raises(Transient, match="still going away"):
                await target.ensure_fleet(other_model(), 2)
            assert here.replicas == 0
            await until(lambda: target.spec(FLEET) is None, "it is gone")
            assert worker.poll() is not None and not left.exists()
            await target.ensure_fleet(other_model(), 2)
            assert target.spec(FLEET) == other_model()
            await target.drain_all()

        run(story())


def test_what_changes_in_the_life_of_a_fleet_makes_no_other_of_it() -> None:
    """Also not where the record is from a backup, and so has a lower fence."""
    with stand() as here, here.sleeper() as worker:
        save_desired(here.folders, DesiredFleet(spec(1), 70))
        here.left("r-a", worker, SERVED)

        async def story() -> None:
            target = here.target()
            await until(lambda: target.ready_count(FLEET) == 1, "it serves")
            variant = replace(spec(1).variant, weight=3.0, instance_count=0)
            changed = replace(spec(0), variant=variant, mirror=Mirroring(FleetId("fraud", 1, "shadow"), 100))
            await target.ensure_fleet(changed, 2)
            assert target.spec(FLEET) == changed and here.replicas == 0
            await target.detach()

        run(story())


def test_fleets_and_routes_without_a_record_are_taken_away() -> None:
    job = FleetId("transform.job", 1, "main")
    with stand() as here, ExitStack() as processes:
        workers = {}
        for endpoint in ("fraud", "unknown"):
            id = FleetId(endpoint, 1, "main")
            save_desired(here.folders, DesiredFleet(spec(1, id), 3))
            worker = workers[endpoint] = processes.enter_context(here.sleeper())
            here.left(f"r-{endpoint}", worker, SERVED, fleet=id)
            here.router.tables[endpoint] = RouteTable(endpoint, 7, (Route(id, 10_000),))
        save_desired(here.folders, DesiredFleet(spec(0, job), 3))

        async def story() -> None:
            target = here.target()
            await until(lambda: target.ready_count(FLEET) == 1, "they serve")
            await target.retire_unknown({"fraud", "transform.job"})
            assert set(here.router.tables) == {"fraud"}
            await until(lambda: target.spec(FleetId("unknown", 1, "main")) is None, "it is gone")
            assert workers["unknown"].poll() is not None
            assert target.spec(job) is not None
            assert (target.ready_count(FLEET), workers["fraud"].poll()) == (1, None)
            await target.detach()

        run(story())


def test_workers_that_no_folder_names_are_ended() -> None:
    with stand() as here, ExitStack() as processes:
        folders = {name: here.folders.replica(FLEET, name) for name in ("r-lost", "r-kept", "r-other")}
        workers = {}
        for name, folder in folders.items():
            folder.mkdir(parents=True)
            workers[name] = processes.enter_context(here.worker_in(folder))
        theirs = processes.enter_context(sleeper(Installation(here.folders.state, "another's")))
        (folders["r-kept"] / NOTE).write_bytes(msgspec.json.encode(Identity.of(workers["r-kept"].pid)))
        (folders["r-other"] / NOTE).write_bytes(msgspec.json.encode(Identity.of(os.getpid())))
        folders["r-lost"].rmdir()

        async def story() -> None:
            target = here.target()
            await until(lambda: workers["r-lost"].poll() is not None, "its folder is gone")
            await until(lambda: workers["r-other"].poll() is not None, "its folder is another's")
            assert workers["r-kept"].poll() is None, "its fleet may be asked for yet"
            assert theirs.poll() is None
            await target.detach()

        run(story())


def test_a_folder_that_somebody_removes_makes_its_replica_go_when_another_has_come(tmp_path: Path) -> None:
    with stand(program(tmp_path, SERVES)) as here, here.sleeper() as worker:
        save_desired(here.folders, DesiredFleet(spec(1), 3))
        here.left("r-a", worker, SERVED)

        async def story() -> None:
            target = here.target()
            await until(lambda: target.ready_count(FLEET) == 1, "it serves")
            shutil.rmtree(here.folders.fleets / "fraud")
            await until(lambda: here.folders.desired_file(FLEET).exists(), "the record is there again")
            await until(lambda: worker.poll() is not None, "it goes")
            assert set() not in here.router.history[1:], "another had come"
            assert target.ready_count(FLEET) == 1
            await target.drain_all()

        run(story())
