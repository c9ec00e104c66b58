"""Whatever starts, ends and is found again after a restart: no device has two replicas, none is given that is not
there, and none is lost."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tidegate.domain.devices import Assignments, Device, Holder
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId

FLEETS = [FleetId("fraud", 1, "main"), FleetId("fraud", 2, "main"), FleetId("score", 1, "main")]


class Machine(RuleBasedStateMachine):
    """``running``: the truth on disk, the devices of every replica whose process lives."""

    @initialize(count=st.integers(0, 5))
    def begin(self, count: int) -> None:
        self.devices = tuple(Device(f"fake{number}") for number in range(count))
        self.assigned = Assignments(self.devices)
        self.running: dict[Holder, tuple[str, ...]] = {}
        self.started = 0

    @rule(fleet=st.sampled_from(FLEETS), count=st.integers(0, 6))
    def start(self, fleet: FleetId, count: int) -> None:
        self.started += 1
        holder = Holder(fleet, f"r-{self.started}")
        free = len(self.assigned.free)
        if count > free:
            with pytest.raises(TargetRefused, match=f"asks for {count} device"):
                self.assigned.take(holder, count)
        else:
            names = self.assigned.take(holder, count)
            assert len(names) == count
            self.running[holder] = names

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        if self.running:
            holder = data.draw(st.sampled_from(sorted(self.running, key=lambda one: one.replica)))
            del self.running[holder]
            self.assigned.release(holder.replica)

    @rule(data=st.data(), fleet=st.sampled_from(FLEETS))
    def supervise_again(self, data: st.DataObject, fleet: FleetId) -> None:
        """The supervisor of one fleet failed; some of its replicas died meanwhile, unseen."""
        self.assigned.release_fleet(fleet)
        for holder in [one for one in self.running if one.fleet == fleet]:
            if data.draw(st.booleans()):
                del self.running[holder]
            else:
                assert self.assigned.adopt(holder, self.running[holder])

    @rule(data=st.data(), lost=st.integers(0, 2))
    def restart(self, data: st.DataObject, lost: int) -> None:
        """Another controller, on a machine that may have lost devices."""
        self.devices = self.devices[: max(0, len(self.devices) - lost)]
        self.assigned = Assignments(self.devices)
        for holder in list(self.running):
            if data.draw(st.booleans()):
                del self.running[holder]
            else:
                assert self.assigned.adopt(holder, self.running[holder])

    @invariant()
    def every_device_has_one_replica_or_is_free(self) -> None:
        if not hasattr(self, "running"):
            return
        given = [name for names in self.running.values() for name in names]
        assert len(given) == len(set(given))
        assert dict(self.assigned.held) == {name: one for one, names in self.running.items() for name in names}
        there = {one.name for one in self.devices}
        assert set(self.assigned.free) == there - set(given)
        assert len(self.assigned.free) == len(set(self.assigned.free))


TestAssignments = Machine.TestCase
TestAssignments.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
