"""One engine for every endpoint: load, observe, step, save, act, then sleep until something could change.

A write is conditional on the version that was read; when it does not land nothing is acted on and the engine looks
again. A crash between saving and acting costs one tick: actions are desired states and are asked again until seen.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from tidegate.model.alarm import AlarmState
from tidegate.model.endpoint import Endpoint
from tidegate.model.errors import Refused, TidegateError
from tidegate.model.fleet import FleetId
from tidegate.model.observe import Action, DeleteFleet, EnsureFleet, FleetSeen, Observation, SetTraffic
from tidegate.model.traffic import RouteTable
from tidegate.ports.clock import Clock
from tidegate.ports.store import Kind, Stale, Store, Tx
from tidegate.ports.target import Look, Target
from tidegate.rollout.step import Decision, step
from tidegate.service.kinds import ALARM, ENDPOINT

log = logging.getLogger(__name__)

ACTIVE_RESYNC = 1.0
"""Seconds between looks at an endpoint that is changing, when no event comes first."""
STEADY_RESYNC = 15.0
SETTLE = 0.01
"""Seconds until the look that sees traffic just set in force; fleets tell by themselves when they change."""
RETRY = 0.2
"""Seconds until the next look after an action that failed, or traffic that is still not seen in force."""

ANY_ENDPOINT = Kind(ENDPOINT.name, object)
"""The records as they lie there: one that this program cannot read must not keep the others from being followed."""


@dataclass(frozen=True)
class Loaded:
    endpoint: Endpoint
    version: int
    alarms: dict[str, AlarmState]


def load(tx: Tx, name: str) -> Loaded | None:
    """The record and the states of the alarms that its rollout names, read in one transaction."""
    saved = tx.get(ENDPOINT, name)
    if saved is None:
        return None
    names = saved.body.rollout.plan.alarms if saved.body.rollout else ()
    found = ((alarm, tx.get(ALARM, alarm)) for alarm in names)
    return Loaded(saved.body, saved.version, {alarm: s.body.state for alarm, s in found if s is not None})


def save(tx: Tx, loaded: Loaded, decision: Decision, now: datetime) -> None:
    """The record after the step and why, conditional on what was read."""
    name = loaded.endpoint.name
    if decision.endpoint is None:
        tx.delete(ENDPOINT, name, expect=loaded.version, now=now, events=decision.events)
    elif decision.endpoint != loaded.endpoint or decision.events:
        tx.put(ENDPOINT, name, decision.endpoint, expect=loaded.version, now=now, events=decision.events)


@dataclass
class Engine:
    """``kick`` wakes an endpoint at once; ``observed`` has the last look at each, for those who show it."""

    store: Store
    target: Target
    clock: Clock
    written: Callable[[], None]
    """Told after each write of a record."""
    observed: dict[str, Observation] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _kicks: dict[str, asyncio.Event] = field(default_factory=dict)
    _refused: dict[FleetId, str] = field(default_factory=dict)
    _routed: dict[str, RouteTable] = field(default_factory=dict)
    """The table that each endpoint's last tick put in force."""
    _troubles: dict[tuple[str, str], str] = field(default_factory=dict)
    """What goes wrong now, by endpoint and what was tried; told once."""
    _stopped: bool = False

    async def start(self) -> None:
        """Takes up every endpoint in the store."""
        for name in await self.store.run(lambda tx: [saved.name for saved in tx.find(ANY_ENDPOINT).items]):
            self.kick(name)

    def kick(self, name: str) -> None:
        """Looks at the endpoint as soon as possible; one that is not known yet is taken up. After ``stop`` nothing
        is: what supervisors still tell must not start anything anew."""
        if self._stopped:
            return
        self._kicks.setdefault(name, asyncio.Event()).set()
        if name not in self._tasks:
            task = self._tasks[name] = asyncio.create_task(self._follow(name), name=f"endpoint {name}")
            task.add_done_callback(lambda done: self._ended(name, done))

    async def stop(self) -> None:
        self._stopped = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, name: str) -> None:
        pause: float | None = 0.0
        while pause is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._kicks[name].wait()
            self._kicks[name].clear()
            pause = await self._safe_tick(name)

    async def _safe_tick(self, name: str) -> float | None:
        try:
            pause = await self.tick(name)
        except Stale:
            return 0.0
        except TidegateError as error:
            self._tell(name, "tick", str(error))
            return ACTIVE_RESYNC
        except Exception as error:
            if self._tell(name, "tick", f"{type(error).__name__}: {error}"):
                log.exception("endpoint %s: a tick failed; trying again", name)
            return ACTIVE_RESYNC
        self._well(name, "tick")
        return pause

    def _tell(self, name: str, what: str, message: str) -> bool:
        """Logs trouble when it begins and when it changes, not at each of the tries that follow."""
        if self._troubles.get((name, what)) == message:
            return False
        self._troubles[name, what] = message
        log.warning("endpoint %s: %s: %s", name, what, message)
        return True

    def _well(self, name: str, what: str) -> None:
        if self._troubles.pop((name, what), None) is not None:
            log.info("endpoint %s: %s: well again", name, what)

    async def tick(self, name: str) -> float | None:
        """One look, one decision. Seconds until the next look; None when the endpoint is gone."""
        loaded = await self.store.run(lambda tx: load(tx, name))
        if loaded is None:
            self._forget(name)
            return None
        seen = self._observation(name, await self._look(name), loaded.alarms)
        self.observed[name] = seen
        now = self.clock.now()
        decision = step(loaded.endpoint, seen, now)
        if decision.endpoint != loaded.endpoint or decision.events:
            await self.store.run(lambda tx: save(tx, loaded, decision, now))
            self.written()
            for event in decision.events:
                log.info("endpoint %s: %s", name, event.message)
        if decision.endpoint is None:
            self._forget(name)
            return None
        done = [await self._act(action, decision.endpoint) for action in decision.actions]
        return self._pause(decision, now, all(done))

    def _forget(self, name: str) -> None:
        """The name may come back as another endpoint, with the same generations."""
        self.observed.pop(name, None)
        self._routed.pop(name, None)
        self._refused = {id: why for id, why in self._refused.items() if id.endpoint != name}
        self._troubles = {key: why for key, why in self._troubles.items() if key[0] != name}

    def _pause(self, decision: Decision, now: datetime, acted: bool) -> float:
        endpoint = decision.endpoint
        changing = endpoint is None or endpoint.rollout is not None or endpoint.scaling or endpoint.deleting
        pause = ACTIVE_RESYNC if changing or decision.actions else STEADY_RESYNC
        tables = [action.table for action in decision.actions if isinstance(action, SetTraffic)]
        if tables and endpoint is not None:
            pause = RETRY if self._routed.get(endpoint.name) == tables[0] else SETTLE
            self._routed[endpoint.name] = tables[0]
        if not acted:
            pause = RETRY
        if decision.wake_at is not None:
            pause = min(pause, max(0.0, (decision.wake_at - now).total_seconds()))
        return pause

    async def _look(self, name: str) -> Look:
        try:
            look = await self.target.observe(name)
        except TidegateError as error:
            self._tell(name, "look", str(error))
            return Look(None, None)
        self._well(name, "look")
        return look

    def _observation(self, name: str, look: Look, alarms: dict[str, AlarmState]) -> Observation:
        """What was refused for good is seen as that fleet's failure."""
        if look.fleets is None:
            return Observation(None, look.routes, alarms)
        fleets = dict(look.fleets)
        for id, message in self._refused.items():
            if id.endpoint == name:
                fleets[id] = replace(fleets.get(id, FleetSeen(id, desired=0, ready=0)), failure=message)
        return Observation(fleets, look.routes, alarms)

    async def _act(self, action: Action, endpoint: Endpoint) -> bool:
        """Whether the target took it; what it refuses for good shows up as that fleet's failure until it is taken
        after all."""
        what = f"{type(action).__name__} {_subject(action)}".rstrip()
        try:
            match action:
                case EnsureFleet(spec):
                    await self.target.ensure_fleet(spec, endpoint.fence)
                    self._refused.pop(spec.id, None)
                case DeleteFleet(id):
                    await self.target.delete_fleet(id, endpoint.fence)
                    self._refused.pop(id, None)
                case SetTraffic(table):
                    await self.target.set_traffic(table)
        except TidegateError as error:
            if isinstance(error, Refused) and isinstance(action, EnsureFleet):
                self._refused[action.spec.id] = str(error)
            self._tell(endpoint.name, what, str(error))
            return False
        self._well(endpoint.name, what)
        return True

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("endpoint %s: its loop failed; starting it again", name, exc_info=task.exception())
            self.kick(name)
        elif not task.cancelled() and self._kicks[name].is_set():
            # It was made anew while its loop was coming to its end.
            self.kick(name)
        else:
            del self._kicks[name]


def _subject(action: Action) -> str:
    match action:
        case EnsureFleet(spec):
            return str(spec.id)
        case DeleteFleet(id):
            return str(id)
    return ""
