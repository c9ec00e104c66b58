"""How many replicas start at one time, and which: never more than there are slots, the most urgent first, all in the
end."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.targets.local.local_harness import program, run, spec, stand, until
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import Route, RouteTable
from tidegate.targets.local.start_queue import (
    AGING,
    FURTHER,
    LONGEST_HELD,
    OFFERED_FOR,
    StartQueue,
    Urgency,
    default_limit,
    urgency,
)


def fleet(name: str) -> FleetId:
    return FleetId(name, 1, "main")


@dataclass
class Machine:
    """Fleets that want replicas, each of which takes a slot for so long; time passes as it is told to."""

    queue: StartQueue
    heavy: float = 1.0
    """Seconds until a replica has done the heavy part of its start; infinite for one that never does."""
    now: float = 0.0
    wanted: dict[FleetId, tuple[Urgency, int]] = field(default_factory=dict)
    started: list[tuple[float, FleetId]] = field(default_factory=list)
    most: int = 0
    _running: dict[str, float] = field(default_factory=dict)
    _kicked: dict[FleetId, None] = field(default_factory=dict)
    """In the order in which they were kicked, which is that in which supervisors have their turns."""
    _names: "itertools.count[int]" = field(default_factory=itertools.count)

    def set_desired(self, name: str, urgency: Urgency, count: int = 1) -> None:
        self.wanted[fleet(name)] = (urgency, count)
        self.turn(fleet(name))

    def kick(self, id: FleetId) -> Callable[[], None]:
        return lambda: self._kicked.setdefault(id)

    def turn(self, id: FleetId) -> None:
        """What a supervisor does in its turn."""
        how, count = self.wanted.get(id, (Urgency.NEW, 0))
        while count and self.queue.admits(id, how, self.kick(id), self.now):
            replica = f"r-{next(self._names)}"
            self.queue.begin(id, replica, self.now)
            self._running[replica] = self.now + self.heavy
            self.started.append((self.now, id))
            count -= 1
            self.wanted[id] = (how, count)
        if not count:
            self.wanted.pop(id, None)
            self.queue.forget(id, self.now)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.now = round(self.now + 0.1, 1)
            for replica in [name for name, end in self._running.items() if end <= self.now]:
                del self._running[replica]
                self.queue.end(replica, self.now)
            while self._kicked:
                first = next(iter(self._kicked))
                del self._kicked[first]
                self.turn(first)
            if self.now == int(self.now):  # each supervisor has its turn once a second
                for id in list(self.wanted):
                    self.turn(id)
            self.most = max(self.most, len(self._running))

    def order(self) -> list[str]:
        return [id.endpoint for _, id in self.started]


def test_no_more_start_at_one_time_than_there_are_slots() -> None:
    machine = Machine(StartQueue(4))
    for number in range(300):
        machine.set_desired(f"e{number}", Urgency.UNHURRIED)
    machine.pass_time(300 / 4 + 2)
    assert (machine.most, len(machine.started)) == (4, 300)


def test_fleets_that_clients_wait_for_start_first() -> None:
    machine = Machine(StartQueue(1))
    machine.set_desired("first", Urgency.UNHURRIED)
    for name, how in (("d", Urgency.UNHURRIED), ("c", Urgency.NEW), ("b", Urgency.SHORT), ("a", Urgency.DOWN)):
        machine.set_desired(name, how)
    machine.pass_time(6)
    assert machine.order() == ["first", "a", "b", "c", "d"]


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_a_large_fleet_does_not_keep_others_from_their_first_replica(limit: int) -> None:
    """They ask at the same moment, the large one first: it has what is free, and then each of the others is next."""
    machine = Machine(StartQueue(limit))
    machine.set_desired("large", Urgency.NEW, 50)
    others = [f"small{number}" for number in range(6)]
    for name in others:
        machine.set_desired(name, Urgency.NEW)
    machine.pass_time(8)
    assert machine.order()[: limit + len(others)] == ["large"] * limit + others


def test_a_large_fleet_that_others_keep_overtaking_has_its_turn() -> None:
    machine = Machine(StartQueue(1))
    machine.set_desired("large", Urgency.NEW, 2)
    for number in range(int(2 * AGING)):
        machine.set_desired(f"small{number}", Urgency.NEW)
        machine.pass_time(1)
    assert [at for at, id in machine.started if id.endpoint == "large"][1] <= FURTHER * AGING + 2


def test_models_that_never_load_do_not_keep_others_from_starting() -> None:
    machine = Machine(StartQueue(4), heavy=float("inf"))
    for number in range(20):
        machine.set_desired(f"hangs{number}", Urgency.NEW)
    machine.set_desired("good", Urgency.NEW)
    machine.pass_time(20 / 4 * LONGEST_HELD + 1)
    assert "good" in machine.order()
    machine.set_desired("late", Urgency.DOWN)
    before = machine.now
    machine.pass_time(LONGEST_HELD + 1)
    assert next(at for at, id in machine.started if id.endpoint == "late") <= before + LONGEST_HELD


def test_none_waits_for_ever_behind_more_urgent_ones() -> None:
    machine = Machine(StartQueue(1))
    machine.set_desired("busy", Urgency.DOWN)
    machine.set_desired("patient", Urgency.UNHURRIED)
    for number in range(int(4 * AGING)):
        machine.set_desired(f"urgent{number}", Urgency.DOWN)
        machine.pass_time(1)
    assert "patient" in machine.order()
    assert next(at for at, id in machine.started if id.endpoint == "patient") <= Urgency.UNHURRIED * AGING + 2


def test_one_that_does_not_come_for_its_slot_holds_up_nobody() -> None:
    queue, kicked = StartQueue(1), list[str]()
    assert queue.admits(fleet("a"), Urgency.NEW, lambda: None, 0.0)
    queue.begin(fleet("a"), "r-1", 0.0)
    assert not queue.admits(fleet("stuck"), Urgency.DOWN, lambda: kicked.append("stuck"), 0.1)
    assert not queue.admits(fleet("b"), Urgency.NEW, lambda: kicked.append("b"), 0.2)
    queue.end("r-1", 1.0)
    assert kicked == ["stuck"]
    assert not queue.admits(fleet("b"), Urgency.NEW, lambda: None, 1.1)
    assert queue.admits(fleet("b"), Urgency.NEW, lambda: None, 1.1 + OFFERED_FOR)


def test_who_is_how_urgent() -> None:
    plain = {"routed": False, "waits": False, "running": False, "on_demand": False, "proven": False, "job": False}

    def of(**changed: bool) -> Urgency:
        return urgency(**{**plain, "failed": False, **changed})

    assert of(routed=True) is Urgency.DOWN
    assert of(routed=True, running=True) is Urgency.SHORT
    assert of(on_demand=True, proven=True, waits=True) is Urgency.DOWN
    assert of() is Urgency.NEW
    assert of(on_demand=True) is of(job=True) is Urgency.UNHURRIED
    assert of(routed=True, on_demand=True, proven=True) is Urgency.SHORT, "provisioned replicas"
    assert of(routed=True, failed=True) is Urgency.SHORT
    assert of(job=True, failed=True) is Urgency.UNHURRIED


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"), st.sampled_from(Urgency), st.integers(1, 3), st.sampled_from([0.0, 0.5, 3.0])
    ),
    max_size=20,
)


@given(STEPS, st.integers(1, 4), st.sampled_from([0.1, 1.0, 9.0]))
def test_all_start_in_the_end_and_never_too_many_at_once(
    steps: list[tuple[str, Urgency, int, float]], limit: int, heavy: float
) -> None:
    machine = Machine(StartQueue(limit), heavy=heavy)
    asked = 0
    for name, how, count, pause in steps:
        if fleet(name) not in machine.wanted:
            asked += count
            machine.set_desired(name, how, count)
        machine.pass_time(pause)
    machine.pass_time(asked * min(heavy, LONGEST_HELD) + 3 + LONGEST_HELD)
    assert len(machine.started) == asked
    assert not machine.wanted and machine.queue.waiting == 0
    if heavy < LONGEST_HELD:
        assert machine.most <= limit


SLOW = """\
import http.server, os, time
time.sleep(float(os.environ.get("SECONDS", "0.5")))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_supervisors_start_one_after_the_other_where_there_is_one_slot(tmp_path: Path) -> None:
    with stand(program(tmp_path, SLOW)) as here:
        here.starts.limit = 1
        ids = [fleet(name) for name in ("new1", "new2", "routed")]
        here.router.tables["routed"] = RouteTable("routed", 1, (Route(ids[2], 10_000),))

        async def story() -> None:
            target = here.target()
            for id in ids:
                await target.ensure_fleet(spec(1, id), 1)
            most = 0

            def all_ready() -> bool:
                nonlocal most
                most = max(most, len(here.starts._slots))
                return all(target.ready_count(id) == 1 for id in ids)

            await until(all_ready, "all are ready", 60)
            assert most == 1
            order = [id for id, _ in sorted(here.router.first.items(), key=lambda found: found[1])]
            assert order.index(ids[2]) < order.index(ids[1]), (
                "the one with traffic goes before those that came first"
            )
            assert here.starts.waiting == 0
            await target.drain_all()

        run(story())


def test_there_are_more_slots_than_processors() -> None:
    assert default_limit() >= 2
