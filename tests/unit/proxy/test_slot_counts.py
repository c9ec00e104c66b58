"""What HAProxy's statistics say of slots: where no request came, not asking again changes no count."""

import asyncio
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.fleet import FleetId
from tidegate.host.background_file import BackgroundFile
from tidegate.ports.router import IDLE
from tidegate.proxy.counters import Counters
from tidegate.proxy.pools import counter_names
from tidegate.proxy.runtime import Runtime
from tidegate.proxy.slot_counts import SlotCounts, parse_rows

SLOTS = ("r0", "r1")
HEADER = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,status,sid,lbtot,req_tot,last,"


@dataclass
class Slot:
    sessions: int = 0
    ended: int = 0
    hung_up: int = 0
    down: bool = False
    own: list[int] = field(default_factory=lambda: [0, 0, 0])

    def rows(self, name: str) -> list[str]:
        server = f"{name},r-a,0,0,0,9,,{self.ended},{'DOWN 1/2' if self.down else 'UP'},1,{self.ended},0,x,"
        return [server, self.row(name)]

    def row(self, name: str) -> str:
        there = self.sessions - self.ended
        seen = self.sessions - self.hung_up - there
        return f"{name},BACKEND,0,0,{there},9,,{self.sessions},UP,0,{seen},{seen},x,"


@dataclass(frozen=True)
class StandIn(Runtime):
    """Answers as HAProxy does; a request may end at any time between two commands."""

    slots: dict[str, Slot] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def send_command(self, command: str) -> str:
        answer = []
        for words in (part.split() for part in command.split("; ")):
            self.asked.append(" ".join(words))
            if words[0] == "show":
                answer += [HEADER, *self.slots[words[2]].rows(words[2]), ""]
            else:
                name = words[2].removeprefix("proc.")
                slot = next(one for one in self.slots if re.fullmatch(f"{one}(_.*)?", name))
                place = list(counter_names(slot)).index(words[2])
                answer.append(f"proc.{name}: type=sint value=<{self.slots[slot].own[place]}>")
        return "\n".join(answer)


events = st.tuples(
    st.sampled_from(SLOTS),
    st.sampled_from(("begin", "answered", "unanswered", "refused", "hung up", "down", "up")),
)


@given(st.lists(st.lists(events, max_size=4), max_size=12))
def test_what_is_not_asked_again_is_as_it_was(story: list[list[tuple[str, str]]]) -> None:
    runtime = StandIn(Path("a"), Path("m"), {name: Slot() for name in SLOTS})
    known: dict[str, SlotCounts] = {}
    for happened in story:
        for name, what in happened:
            _happen(runtime.slots[name], what)
        known = asyncio.run(runtime.counts(SLOTS, known))
        assert known == asyncio.run(runtime.counts(SLOTS))


@given(st.lists(st.lists(events, max_size=3), min_size=1, max_size=12))
def test_what_passed_is_told_whether_or_not_rows_are_read_again(story: list[list[tuple[str, str]]]) -> None:
    """Also what a server that is down needs: it is told each second, not when it changes."""
    runtime = StandIn(Path("a"), Path("m"), {name: Slot() for name in SLOTS})
    known: dict[str, SlotCounts] = {}
    for happened in story:
        for name, what in happened:
            _happen(runtime.slots[name], what)
        before, known = known, asyncio.run(runtime.counts(SLOTS, known))
        anew = asyncio.run(runtime.counts(SLOTS))
        for slot in SLOTS:
            was = before.get(slot, SlotCounts())
            told = known[slot].at_least(was).since(was, 1.0)
            assert told == replace(anew[slot]).at_least(was).since(replace(was), 1.0)
            assert told.down == (frozenset({"r-a"}) if runtime.slots[slot].down else frozenset())


def test_slots_at_rest_keep_the_reading_that_they_had() -> None:
    runtime = StandIn(Path("a"), Path("m"), {name: Slot() for name in SLOTS})
    known = asyncio.run(runtime.counts(SLOTS))
    runtime.slots["r1"].sessions += 1
    found = asyncio.run(runtime.counts(SLOTS, known))
    assert [found[slot] is known[slot] for slot in SLOTS] == [True, False]
    assert known["r0"].since(known["r0"], 1.0) is IDLE


async def test_counts_are_written_when_they_change_and_when_they_could_not_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleets = {name: FleetId(f"e{name}", 1, "main") for name in SLOTS}
    runtime = StandIn(Path("a"), Path("m"), {name: Slot() for name in SLOTS})
    counters, written = Counters(runtime, tmp_path), list[bytes]()
    counters._pid = 7
    monkeypatch.setattr(counters._file, "write", written.append)
    for _ in range(3):
        await counters.passed(fleets)
    assert len(written) == 1
    runtime.slots["r1"].own[0] += 1
    runtime.slots["r1"].sessions += 1
    runtime.slots["r1"].ended += 1
    await counters.passed(fleets)
    assert len(written) == 2
    monkeypatch.setattr(BackgroundFile, "is_behind", True)
    await counters.passed(fleets)
    assert written[1:] == [written[1]] * 2
    monkeypatch.setattr(BackgroundFile, "is_behind", False)
    await counters.passed({"r0": fleets["r0"]})
    assert len(written) == 4


def _happen(slot: Slot, what: str) -> None:
    if what in ("down", "up"):
        slot.down = what == "down"
    elif what == "begin":
        slot.sessions += 1
    elif slot.sessions > slot.ended:
        slot.ended += 1
        if what == "hung up":
            slot.hung_up += 1
        elif what != "answered":
            slot.own[0] += 1
            slot.own[1] += what == "refused"


def test_slots_at_rest_are_not_asked_for_their_own_answers() -> None:
    runtime = StandIn(Path("a"), Path("m"), {name: Slot() for name in SLOTS})
    known = asyncio.run(runtime.counts(SLOTS))
    runtime.asked.clear()
    runtime.slots["r1"].sessions += 1
    asyncio.run(runtime.counts(SLOTS, known))
    assert {word for line in runtime.asked if line.startswith("get") for word in line.split()[2:]} == {
        *counter_names("r1")
    }


def test_a_row_without_the_columns_that_are_read_is_left_out() -> None:
    assert [row["pxname"] for row in parse_rows(f"{HEADER}\nr0,BACKEND\n{Slot().row('r1')}\nnonsense")] == ["r1"]
