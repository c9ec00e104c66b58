"""Calls of users and programs to the controller's API: each is one transaction of the controller's process."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from tidegate.domain.alarm import AlarmState
from tidegate.domain.errors import TidegateError
from tidegate.domain.observation import TIDEGATE_CAPABILITIES, Event
from tidegate.ports.store import Stale, Store, Tx
from tidegate.rollout import commands
from tidegate.service import alarms, endpoints, rollouts
from tidegate.service.endpoints import UpdateRequest
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT
from tidegate.service.records import require
from tidegate.testing.faults import When
from tidegate.testing.loops.faults import ClientCommand, Command, GuardEdit, GuardEdited
from tidegate.testing.loops.ground_truth import MAIN
from tidegate.testing.loops.plans import NEXT, WorldPlan

if TYPE_CHECKING:
    from tidegate.testing.loops.world import LoopWorld

Work = Callable[[Tx, datetime], None]
PATIENCE = 20.0
"""Seconds after the last fault until somebody resumes paused rollouts."""


class Clients:
    """``store``: of the running controller."""

    def __init__(self, world: "LoopWorld") -> None:
        self._world = world
        self.store: Store | None = None

    def act(self, fault: GuardEdited | ClientCommand) -> None:
        if not self._world.running or self._world.loop.frozen:
            return  # connection refused or no answer
        self._world.loop.create_task(self._send(fault))

    async def _send(self, fault: GuardEdited | ClientCommand) -> None:
        world = self._world
        assert self.store is not None and world.loops is not None
        rollout = world.truth.record.rollout if world.truth.record else None
        id = world.ids.new("rollout")
        if isinstance(fault, GuardEdited):
            work = _edit_work(fault.edit, world.plan)
        else:
            work = _command_work(fault.command, world.plan, id)
        now = world.clock.now()
        try:
            await self.store.run(lambda tx: work(tx, now))
        except (TidegateError, Stale) as error:
            world.truth.note(f"client: refused: {error}")
            return
        world.truth.note("client: accepted")
        world.loops.engine.kick(MAIN)
        if isinstance(fault, ClientCommand) and rollout is not None:
            self._expect(fault.command, rollout.id, id)

    def _expect(self, command: Command, rollout: str, id: str) -> None:
        truth = self._world.truth
        if command is Command.ABORT:
            truth.aborted.add(rollout)
            truth.expected.clear()
        elif command is Command.SUPERSEDE:
            truth.expected = {id}

    def resume_paused(self, now: float) -> None:
        """Resume what users paused."""
        record = self._world.truth.record
        rollout = record.rollout if record else None
        if rollout is not None and rollout.pause is not None and now > self._world.quiet_at + PATIENCE:
            self.act(ClientCommand(When(), Command.RESUME))


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


def _command_work(command: Command, plan: WorldPlan, id: str) -> Work:
    def work(tx: Tx, now: datetime) -> None:
        match command:
            case Command.SUPERSEDE:
                _supersede(tx, plan, id, now)
            case Command.TOUCH:
                saved = require(tx, ENDPOINT, MAIN)
                touched = replace(saved.body, modified_at=now)
                tx.put(ENDPOINT, MAIN, touched, expect=saved.version, now=now)
            case _:
                getattr(rollouts, command.value)(tx, MAIN, "ann", now)

    return work


def _supersede(tx: Tx, plan: WorldPlan, id: str, now: datetime) -> None:
    saved = require(tx, ENDPOINT, MAIN)
    config = require(tx, CONFIG, NEXT).body
    asked = UpdateRequest(NEXT, plan.deployment, "ann")
    wanted = endpoints.build_request(tx, saved.body, config, asked, TIDEGATE_CAPABILITIES, now)
    changed = commands.supersede(saved.body, wanted, rollout_id=id, can=TIDEGATE_CAPABILITIES, now=now)
    endpoints.save(tx, saved, changed, Event("supersede", "superseded"), now)
