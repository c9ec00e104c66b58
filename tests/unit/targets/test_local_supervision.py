"""A supervisor's own troubles: replicas that hang, that die soon, that cannot be started; routers that fail."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.targets.local_stand import FLEET, program, run, sleeper, spec, stand, until
from tidegate.model.errors import Transient
from tidegate.model.fleet import ReplicaState
from tidegate.targets.local.fleet import START_FAILURES
from tidegate.targets.local.member import LOADING, OUTGROWN, SERVED, Member
from tidegate.targets.local.process import Identity, Process
from tidegate.targets.local.surroundings import Wish, keep

PATIENCE = 0.1


def member(socket: Path, pid: int) -> Member:
    identity = Identity.of(pid)
    assert identity is not None
    return Member("r-1", Process(identity), ReplicaState.READY, 0.0, socket.parent, socket, socket.parent / "log")


async def asked(one: Member, now: float) -> bool:
    """Asks and waits for the answer, or for the end of the patience."""
    assert not one.hangs(now, PATIENCE)
    question = one._question
    assert question is not None
    await asyncio.wait([question])
    return one.hangs(now + PATIENCE, PATIENCE)


def test_a_replica_hangs_after_two_questions_without_an_answer(tmp_path: Path) -> None:
    socket = tmp_path / "s"

    async def story() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(-1)
            writer.close()

        with sleeper() as worker:
            async with await asyncio.start_unix_server(silent, socket):
                one = member(socket, worker.pid)
                assert not await asked(one, 10)
                assert not one.hangs(10.2, PATIENCE), "not asked again at once"
                assert await asked(one, 20)
                one.let_go()

    run(story())


def test_a_late_answer_is_an_answer(tmp_path: Path) -> None:
    """A worker that computes does not answer, for as long as a prediction may take."""
    socket = tmp_path / "s"

    async def story() -> None:
        free = asyncio.Event()

        async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await free.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        with sleeper() as worker:
            async with await asyncio.start_unix_server(busy, socket):
                one = member(socket, worker.pid)
                for now in (10.0, 20.0, 30.0):
                    free.clear()
                    assert not one.hangs(now, 60)
                    assert not one.hangs(now + 50, 60), "it waits"
                    free.set()
                    assert one._question is not None
                    await asyncio.wait([one._question])
                    assert not one.hangs(now + 55, 60)
                assert one.strikes == 0

    run(story())


def test_a_hung_replica_gives_its_place_to_another() -> None:
    with stand() as here, here.sleeper() as hung:
        keep(here.folders, Wish(spec(1), 1))
        here.left("r-a", hung, SERVED)

        async def story() -> None:
            target = here.target()
            await until(lambda: here.router.fleets.get(FLEET), "it serves")
            one = target._fleets[FLEET].members["r-a"]
            one.strikes, one.bad_since = 2, asyncio.get_running_loop().time() - 31
            target._fleets[FLEET].kick()
            await until(lambda: here.replicas == 1, "another is started")
            await until(lambda: hung.poll() is not None, "it is told to stop")
            assert here.router.fleets[FLEET] == {}
            await target.drain_all()

        run(story())


def test_a_replica_that_exceeds_its_start_up_limit_is_a_failure_at_once(tmp_path: Path) -> None:
    """Two more tries would only triple the time until its rollout turns back."""
    with stand(program(tmp_path, "import time; time.sleep(120)")) as here:
        here.startup_timeout = 1.0

        async def story() -> None:
            target = here.target()
            await target.ensure_fleet(spec(1), 1)
            fleet = target._fleets[FLEET]
            await until(lambda: fleet.failure, "it has failed")
            assert fleet.failure is not None and "did not pass the ping health check within 1 s" in fleet.failure
            assert (here.replicas, fleet.failures) == (1, 1)
            await target.drain_all()

        run(story())


@pytest.mark.parametrize("begun", [True, False])
def test_a_replica_that_hangs_while_it_starts_is_a_failure_though_it_cannot_say_so(begun: bool) -> None:
    with stand(("false",)) as here, here.sleeper() as hung:
        limit = 0.1 if begun else 0.2
        limits = {"startup_timeout": 0.1 if begun else 0.0, "download_timeout": 900.0 if begun else 0.2}
        short = replace(spec(1), variant=replace(spec(1).variant, **limits))  # type: ignore[arg-type]
        keep(here.folders, Wish(short, 1))
        folder = here.left("r-a", hung)
        if begun:
            (folder / LOADING).write_text("0.05")

        async def story() -> None:
            target = here.target()
            fleet = target._fleets[FLEET]
            await until(lambda: fleet.failure, "it has failed")
            assert (
                fleet.failure == f"{'the model did not load' if begun else 'no answer to /ping'} within {limit} s"
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
            await until(lambda: fleet.failures >= START_FAILURES, "it dies again and again", 90)
            assert fleet.failure is not None and "exit code 5" in fleet.failure
            assert fleet._not_before > fleet._now() - 2, "the next try waited"
            await target.drain_all()

        run(story())


SERVES = """\
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_a_replica_that_outgrew_its_memory_goes_when_another_has_taken_its_place(tmp_path: Path) -> None:
    with stand(program(tmp_path, SERVES)) as here:

        async def story() -> None:
            target = here.target()
            await target.ensure_fleet(spec(1), 1)
            fleet = target._fleets[FLEET]
            await until(lambda: fleet.running == 1, "it serves")
            [first] = fleet.members.values()
            here.router.history.clear()
            (first.folder / OUTGROWN).write_text("The replica outgrew the memory limit.")
            fleet.kick()
            await until(lambda: first.id not in fleet.members, "it is gone")
            assert fleet.running == 1
            [second] = fleet.members
            assert here.router.history[0] == {first.id, second}, "both take requests before the first one goes"
            assert here.router.history[-1] == {second}
            assert set() not in here.router.history
            assert fleet.failures == 1, "it had not been ready for long"
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
            await until(lambda: fleet.failure, "it is told")
            assert fleet.failure is not None and "cannot be started" in fleet.failure
            assert list((here.folders.fleet(FLEET) / "replicas").iterdir()) == []
            assert here.replicas == START_FAILURES, "it waits between the tries"
            obstacle.unlink()
            await until(lambda: fleet.members, "it starts after all")
            await target.drain_all()

        run(story())


def test_a_turn_that_fails_in_an_unknown_way_is_tried_again() -> None:
    with stand() as here, here.sleeper() as worker:
        keep(here.folders, Wish(spec(1), 1))
        here.left("r-a", worker, SERVED)
        here.router.trouble = [Transient("still away"), ValueError("a fault in the program")]

        async def story() -> None:
            target = here.target()
            fleet = target._fleets[FLEET]
            await until(lambda: here.router.fleets.get(FLEET), "the router was told in the end")
            assert target._fleets[FLEET] is fleet and set(fleet.members) == {"r-a"}
            await target.let_go()

        run(story())
