"""Calls of users and programs to the controller's API: each is one transaction of the controller's process."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from tests.loops.clock import SequentialIds, SimulatedClock
from tests.loops.faults import SUPERSEDE, TOUCH, GuardEdit, GuardEdited
from tests.loops.ground_truth import MAIN, GroundTruth
from tests.loops.plans import NEXT, WorldPlan
from tests.loops.virtual_loop import VirtualLoop
from tidegate.domain.alarm import AlarmState
from tidegate.domain.errors import TidegateError
from tidegate.domain.observation import TIDEGATE_CAPABILITIES, Event
from tidegate.ports.store import Stale, Store, Tx
from tidegate.rollout import commands
from tidegate.service import alarms, endpoints, rollouts
from tidegate.service.endpoints import UpdateRequest
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT
from tidegate.service.records import require
from tidegate.simulation.faults import UserCommand

Work = Callable[[Tx, datetime], None]


@dataclass
class Clients:
    """``store`` and ``kick`` are the running controller's."""

    plan: WorldPlan
    loop: VirtualLoop
    clock: SimulatedClock
    truth: GroundTruth
    ids: SequentialIds
    store: Store | None = None
    kick: Callable[[str], None] = lambda endpoint: None

    def act(self, fault: GuardEdited | UserCommand) -> None:
        """Call the controller, which must run."""
        self.loop.create_task(self._send(fault))

    async def _send(self, fault: GuardEdited | UserCommand) -> None:
        truth = self.truth
        assert self.store is not None
        rollout = truth.record.rollout if truth.record else None
        id = self.ids.new("rollout")
        if isinstance(fault, GuardEdited):
            work = _edit_work(fault.edit, self.plan)
        else:
            work = _command_work(fault.what, self.plan, id)
        now = self.clock.now()
        try:
            await self.store.run(lambda tx: work(tx, now))
        except (TidegateError, Stale) as error:
            truth.note(f"client: refused: {error}")
            return
        truth.note("client: accepted")
        self.kick(MAIN)
        if isinstance(fault, UserCommand) and rollout is not None:
            self._expect(fault.what, rollout.id, id)

    def _expect(self, command: str, rollout: str, id: str) -> None:
        if command == "abort":
            self.truth.aborted.add(rollout)
            self.truth.expected.clear()
        elif command == SUPERSEDE:
            self.truth.expected = {id}


def _edit_work(edit: GuardEdit, plan: WorldPlan) -> Work:
    names = [alarm.name for alarm in plan.guards]

    def work(tx: Tx, now: datetime) -> None:
        match edit:
            case GuardEdit.DELETE:
                alarms.delete(tx, names, now)
            case GuardEdit.SET_OK | GuardEdit.SET_ALARM:
                state = AlarmState.OK if edit is GuardEdit.SET_OK else AlarmState.ALARM
                for name in names:
                    alarms.set_state(tx, name, state, "by hand", None, now)
            case GuardEdit.BLUNT:
                for name in names:
                    alarms.put(tx, replace(require(tx, ALARM, name).body, threshold=1e12), now)
            case GuardEdit.RETARGET:
                for name in names:
                    alarms.put(tx, replace(require(tx, ALARM, name).body, metric="Nothing"), now)

    return work


def _command_work(command: str, plan: WorldPlan, id: str) -> Work:
    def work(tx: Tx, now: datetime) -> None:
        if command == SUPERSEDE:
            _supersede(tx, plan, id, now)
        elif command == TOUCH:
            saved = require(tx, ENDPOINT, MAIN)
            touched = replace(saved.body, modified_at=now)
            tx.put(ENDPOINT, MAIN, touched, expect=saved.version, now=now)
        else:
            getattr(rollouts, command)(tx, MAIN, "ann", now)

    return work


def _supersede(tx: Tx, plan: WorldPlan, id: str, now: datetime) -> None:
    saved = require(tx, ENDPOINT, MAIN)
    config = require(tx, CONFIG, NEXT).body
    asked = UpdateRequest(NEXT, plan.deployment, "ann")
    wanted = endpoints.build_request(tx, saved.body, config, asked, TIDEGATE_CAPABILITIES, now)
    changed = commands.supersede(saved.body, wanted, rollout_id=id, can=TIDEGATE_CAPABILITIES, now=now)
    endpoints.save(tx, saved, changed, Event("supersede", "superseded"), now)
