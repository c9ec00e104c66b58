"""A supervisor's own troubles: replicas that hang, that die soon, that cannot be started; routers that fail."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.targets.local.local_harness import FLEET, SERVES, program, run, spec, stand, until
from tidegate.domain.errors import Transient
from tidegate.host import process_stats
from tidegate.ports.router import PassedRequests
from tidegate.targets.local.fleet_supervisor import LONGEST_BACKOFF, START_FAILURES, StartFailures
from tidegate.targets.local.replica import LOADING, OUTGROWN, SERVED
from tidegate.targets.local.supervisor_context import DesiredFleet, save_desired


def test_a_replica_whose_socket_is_gone_is_not_ready_and_gives_its_place_to_another() -> None:
    with stand(("false",)) as here, here.sleeper() as hung:
        save_desired(here.folders, DesiredFleet(spec(1), 1))
        here.left("r-a", hung, SERVED)

        async def story() -> None:
            target = here.target()
            await until(lambda: target.ready_count(FLEET) == 1, "it serves")
            here.folders.socket("r-a").unlink()
            await until(lambda: target.ready_count(FLEET) == 0, "it is not ready")
            await until(lambda: here.replicas, "another is started")
            await until(lambda: hung.poll() is not None, "it is told to stop")
            assert here.router.fleets[FLEET] == {}
            await target.drain_all()

        run(story())


@pytest.mark.parametrize("how", ["stopped", "deadlocked"])
def test_a_replica_that_hangs_is_killed_when_another_has_taken_its_place(tmp_path: Path, how: str) -> None:
    """It is out of the router at once, and keeps what it has in hand until another can take that over."""
    with stand(program(tmp_path, SERVES)) as here, here.sleeper() as hung:
        save_desired(here.folders, DesiredFleet(spec(1), 1))
        here.left("r-a", hung, SERVED)

        async def story() -> None:
            target = here.target()
            await until(lambda: target.ready_count(FLEET) == 1, "it serves")
            fleet = target._fleets[FLEET]
            if how == "stopped":
                hung.send_signal(signal.SIGSTOP)
            else:
                here.close()  # its socket takes connections, and nobody answers
                here.servers.clear()
                here.folders.socket("r-a").unlink()
                listening = here.listen(here.folders.socket("r-a"))
            await until(lambda: not fleet.running, "it is not ready")
            await until(lambda: here.router.fleets[FLEET] == {}, "it gets no requests")
            assert hung.poll() is None
            await until(lambda: fleet.running == 1, "another serves")
            await until(lambda: hung.poll() == -signal.SIGKILL, "it is killed")
            if how == "deadlocked":
                listening.close()
            await target.drain_all()

        run(story())


def test_a_replica_that_was_stopped_before_the_controller_began_is_not_ready(tmp_path: Path) -> None:
    with stand(program(tmp_path, SERVES)) as here, here.sleeper() as hung:
        save_desired(here.folders, DesiredFleet(spec(1), 1))
        here.left("r-a", hung, SERVED)
        hung.send_signal(signal.SIGSTOP)

        async def story() -> None:
            await until(lambda: process_stats.process_state(hung.pid) in process_stats.STOPPED, "it is stopped")
            target = here.target()
            await until(lambda: not target._fleets[FLEET].adopting, "it is taken up")
            fleets = (await target.observe("fraud")).fleets
            assert fleets is not None and fleets[FLEET].ready == 0
            await until(lambda: hung.poll() == -signal.SIGKILL, "it is replaced")
            await target.drain_all()

        run(story())


def test_what_the_router_takes_for_dead_is_not_ready() -> None:
    with stand() as here, here.sleeper() as first, here.sleeper() as second:
        save_desired(here.folders, DesiredFleet(spec(2), 1))
        here.left("r-a", first, SERVED)
        here.left("r-b", second, SERVED)

        async def story() -> None:
            target = here.target()
            await until(lambda: target.ready_count(FLEET) == 2, "both serve")
            here.router.down.add("r-a")
            fleets = (await target.observe("fraud")).fleets
            assert fleets is not None and (fleets[FLEET].ready, fleets[FLEET].starting) == (1, 0)
            here.router.down.clear()
            target.set_load({FLEET: PassedRequests(down=frozenset({"r-a", "r-b", "r-old"}))})
            assert target.ready_count(FLEET) == 0
            fleets = (await target.observe("fraud")).fleets
            assert fleets is not None and fleets[FLEET].ready == 2
            await target.detach()

        run(story())


def test_a_router_that_lost_a_replica_is_told_of_it_again() -> None:
    with stand() as here, here.sleeper() as worker:
        save_desired(here.folders, DesiredFleet(spec(1), 1))
        here.left("r-a", worker, SERVED)

        async def story() -> None:
            target = here.target()
            await until(lambda: target.ready_count(FLEET) == 1, "it serves")
            del here.router.fleets[FLEET]
            fleets = (await target.observe("fraud")).fleets
            assert fleets is not None and fleets[FLEET].ready == 0
            await until(lambda: here.router.fleets.get(FLEET), "the router has it again")
            fleets = (await target.observe("fraud")).fleets
            assert fleets is not None and fleets[FLEET].ready == 1
            await target.detach()

        run(story())


def test_a_replica_that_exceeds_its_start_up_limit_is_a_failure_at_once(tmp_path: Path) -> None:
    """Two more tries would only triple the time until its rollout turns back."""
    with stand(program(tmp_path, "import time; time.sleep(120)")) as here:
        here.startup_timeout = 1.0

        async def story() -> None:
            target = here.target()
            await target.ensure_fleet(spec(1), 1)
            fleet = target._fleets[FLEET]
            await until(lambda: fleet.failures.reason, "it has failed")
            assert (
                fleet.failures.reason is not None
                and "did not pass the ping health check within 1 s" in fleet.failures.reason
            )
            assert (here.replicas, fleet.failures.count) == (1, 1)
            await target.drain_all()

        run(story())


@pytest.mark.parametrize("begun", [True, False])
def test_a_replica_that_hangs_while_it_starts_is_a_failure_though_it_cannot_say_so(begun: bool) -> None:
    with stand(("false",)) as here, here.sleeper() as hung:
        limit = 0.1 if begun else 0.2
        limits = {"startup_timeout": 0.1 if begun else 0.0, "download_timeout": 900.0 if begun else 0.2}
        short = replace(spec(1), variant=replace(spec(1).variant, **limits))  # type: ignore[arg-type]
        save_desired(here.folders, DesiredFleet(short, 1))
        folder = here.left("r-a", hung, answers=False)
        if begun:
            (folder / LOADING).write_text("0.05")

        async def story() -> None:
            target = here.target()
            fleet = target._fleets[FLEET]
            await until(lambda: fleet.failures.reason, "it has failed")
            assert (
                fleet.failures.reason
                == f"{'the model did not load' if begun else 'no answer to /ping'} within {limit} s"
            )
            await until(lambda: hung.poll() is not None, "it is ended")
            await target.drain_all()

        run(story())


DIES = """\
import http.server, os, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
        threading.Timer(0.3, os._exit, [5]).start()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_replicas_that_die_soon_after_they_were_ready_are_a_failure(tmp_path: Path) -> None:
    with stand(program(tmp_path, DIES)) as here:

        async def story() -> None:
            target = here.target()
            await target.ensure_fleet(spec(1), 1)
            fleet = target._fleets[FLEET]
            await until(lambda: fleet.failures.count >= START_FAILURES, "it dies again and again", 90)
            assert fleet.failures.reason is not None and "exit code 5" in fleet.failures.reason
            assert fleet.failures.not_before > fleet._now() - 2, "the next try waited"
            await target.drain_all()

        run(story())


def test_a_replica_that_outgrew_its_memory_goes_when_another_has_taken_its_place(tmp_path: Path) -> None:
    with stand(program(tmp_path, SERVES)) as here:

        async def story() -> None:
            target = here.target()
            await target.ensure_fleet(spec(1), 1)
            fleet = target._fleets[FLEET]
            await until(lambda: fleet.running == 1, "it serves")
            [first] = fleet.replicas.values()
            here.router.history.clear()
            (first.folder / OUTGROWN).write_text("The replica outgrew the memory limit.")
            fleet.kick()
            await until(lambda: first.id not in fleet.replicas, "it is gone")
            assert fleet.running == 1
            [second] = fleet.replicas
            assert here.router.history[0] == {first.id, second}, "both take requests before the first one goes"
            assert here.router.history[-1] == {second}
            assert set() not in here.router.history
            assert fleet.failures.count == 1, "it had not been ready for long"
            await target.drain_all()

        run(story())


def test_what_cannot_be_started_leaves_nothing_and_comes_up_when_there_is_room() -> None:
    with stand(("false",)) as here:
        obstacle = here.folders.logs / "fraud"
        obstacle.write_text("in the way")

        async def story() -> None:
            target = here.target()
            await target.ensure_fleet(spec(2), 1)
            fleet = target._fleets[FLEET]
            await until(lambda: fleet.failures.reason, "it is told")
            assert fleet.failures.reason is not None and "cannot be started" in fleet.failures.reason
            assert list((here.folders.fleet(FLEET) / "replicas").iterdir()) == []
            assert here.replicas == START_FAILURES, "it waits between the tries"
            obstacle.unlink()
            await until(lambda: fleet.replicas, "it starts after all")
            await target.drain_all()

        run(story())


def test_a_turn_that_fails_in_an_unknown_way_is_tried_again() -> None:
    with stand() as here, here.sleeper() as worker:
        save_desired(here.folders, DesiredFleet(spec(1), 1))
        here.left("r-a", worker, SERVED)
        here.router.trouble = [Transient("still away"), ValueError("a fault in the program")]

        async def story() -> None:
            target = here.target()
            fleet = target._fleets[FLEET]
            await until(lambda: here.router.fleets.get(FLEET), "the router was told in the end")
            assert target._fleets[FLEET] is fleet and set(fleet.replicas) == {"r-a"}
            await target.detach()

        run(story())


# How long a fleet waits after a failed start.


def waits(has_served: bool, times: int = 8) -> list[float]:
    failures = StartFailures()
    found = []
    for _ in range(times):
        failures.add("the data cannot be read", 100.0, conclusive=True, has_served=has_served)
        found.append(failures.not_before - 100.0)
    assert failures.reason == "the data cannot be read"
    return found


def test_a_fleet_that_has_served_is_tried_again_soon_however_conclusive_its_failure() -> None:
    assert waits(has_served=True) == [0.5, 1, 2, 4, 8, 16, LONGEST_BACKOFF, LONGEST_BACKOFF]


def test_one_that_never_served_costs_no_processor_for_what_cannot_succeed() -> None:
    assert waits(has_served=False, times=2) == [LONGEST_BACKOFF] * 2
