"""One engine for every endpoint: load, observe, step, save, act, then sleep until something could change.

A write is conditional on the version that was read; when it does not land nothing is acted on and the engine looks
again. A crash between saving and acting costs one tick: actions are desired states and are asked again until seen.
One thing does not wait for the store: a rollout that must turn back does so at once, and is recorded afterwards.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from tidegate.domain import alarm_rule
from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.endpoint import ClockMark, Endpoint
from tidegate.domain.errors import TargetRefused, TidegateError, Unavailable, UnreadableRecord
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import Action, DeleteFleet, EnsureFleet, FleetStatus, Observation, SetTraffic
from tidegate.domain.traffic import RouteTable
from tidegate.domain.worker_stats import MOST_FAILURES
from tidegate.monitoring import reasons
from tidegate.monitoring.guard_verdicts import GuardVerdict
from tidegate.monitoring.reasons import describe_breach
from tidegate.ports.clock import Clock
from tidegate.ports.store import Stale, Store, Tx
from tidegate.ports.target import Look, Target
from tidegate.reconcile.alarm_loop import save_guard_states
from tidegate.reconcile.guards import GuardedRollout, Guards
from tidegate.reconcile.resting import Rest, RestingEndpoints
from tidegate.reconcile.rollout_observers import compared_versions, was_routed
from tidegate.reconcile.unsaved_rollbacks import LoadedEndpoint, UnsavedRollbacks
from tidegate.rollout import commands, deadlines, desired_state
from tidegate.rollout.step import RolloutDecision, step
from tidegate.service import history, usage
from tidegate.service.record_kinds import ALARM, ENDPOINT, endpoint_kinds
from tidegate.service.records import read_if_readable

# Permanent refusals by targets, each shown as the fleet's failure as long as the same fleet is desired.


@dataclass
class Refusals:
    _why: dict[FleetId, tuple[FleetSpec, str]] = field(default_factory=dict)

    def note(self, spec: FleetSpec, why: str) -> None:
        self._why[spec.id] = spec, why

    def forget(self, fleet: FleetId) -> None:
        """Forget the refusal of a fleet that was accepted after all, or that is gone."""
        self._why.pop(fleet, None)

    def forget_endpoint(self, name: str) -> None:
        self._why = {id: kept for id, kept in self._why.items() if id.endpoint != name}

    def show(self, endpoint: Endpoint, fleets: Mapping[FleetId, FleetStatus]) -> dict[FleetId, FleetStatus]:
        """The fleets of an endpoint with their failures. One that is wanted in another way again, such as after a
        change of capacity was undone, says nothing of what is asked for next: it is forgotten."""
        shown, wanted = dict(fleets), desired_state.fleets(endpoint)
        for id, (spec, why) in list(self._why.items()):
            if id.endpoint == endpoint.name and wanted.get(id) == spec:
                shown[id] = replace(shown.get(id, FleetStatus(id, desired=0, ready=0)), failure=why)
            elif id.endpoint == endpoint.name:
                self.forget(id)
        return shown


log = logging.getLogger(__name__)

R = TypeVar("R")

ACTIVE_RESYNC = 1.0
"""Seconds between looks at an endpoint that is changing, when no event comes first."""
STEADY_RESYNC = 15.0
"""The same for any other, and between comparisons of those at rest."""
REST = math.inf
LONGEST_REST = 600.0
"""Seconds until an endpoint at rest is looked at all the same: a database that was restored meanwhile may have
another record of the same version, which no comparison shows."""
SETTLE = 0.01
"""Seconds until the look that sees traffic just set in force; fleets tell by themselves when they change."""
RETRY = 0.2
"""Seconds until the next look after an action that failed, or traffic that is still not seen in force."""

STORE_PATIENCE = 1.0
"""Seconds that the store may take before what cannot wait is done without it."""


def load(tx: Tx, name: str) -> LoadedEndpoint | None:
    """The record and the alarms that its rollout names, read in one transaction. An alarm that cannot be read guards
    the rollout as it was defined when that began, as one that was deleted does."""
    saved = tx.get(ENDPOINT, name)
    if saved is None:
        return None
    rollout = saved.body.rollout
    names = dict.fromkeys((*rollout.plan.alarms, *(one.name for one in rollout.guards)) if rollout else ())
    found = ((alarm, read_if_readable(tx, ALARM, alarm)) for alarm in names)
    alarms = {alarm: s.body for alarm, s in found if s is not None}
    return LoadedEndpoint(saved.body, saved.version, alarms, saved.body)


def save(tx: Tx, loaded: LoadedEndpoint, decision: RolloutDecision, now: datetime) -> int:
    """The record after the step and why, conditional on what was read. Returns its version."""
    name, events = loaded.stored.name, (*loaded.events, *decision.events)
    if decision.endpoint is None:
        tx.delete(ENDPOINT, name, expect=loaded.version, now=now, events=events)
        for kind in endpoint_kinds():
            tx.delete(kind, name, expect=None, now=now)
        return 0
    version = tx.put(ENDPOINT, name, decision.endpoint, expect=loaded.version, now=now, events=events)
    history.record(tx, loaded.stored, decision.endpoint, now)
    usage.record(tx, loaded.stored, decision.endpoint, now)
    return version


def guarded_rollout(loaded: LoadedEndpoint, followed_from: datetime | None = None) -> GuardedRollout | None:
    """The rollout before its point of no return, with its guards as they were when it began. The record of an earlier
    version has none; the alarms as they are now guard it. A first version has no guards. With a composite alarm come
    those that its rule names, by which it is judged. ``followed_from``: as in ``ComparedVersions``."""
    rollout = loaded.endpoint.rollout
    if rollout is None or rollout.old is None or rollout.phase not in commands.FORWARD_PHASES:
        return None
    kept = {alarm.name: alarm for alarm in rollout.guards}
    alarms = (kept.get(name) or loaded.alarms.get(name) for name in dict.fromkeys((*rollout.plan.alarms, *kept)))
    found = tuple(alarm for alarm in alarms if alarm is not None)
    versions = compared_versions(loaded.endpoint, rollout, followed_from)
    return GuardedRollout(loaded.endpoint.name, rollout.id, found, versions, rollout.started_at)


@dataclass
class Engine:
    """``kick`` wakes an endpoint at once; ``observed`` has the last look at each, for those who show it."""

    store: Store
    targets: Mapping[str, Target]
    """By the name that records have."""
    clock: Clock
    guards: Guards
    written: Callable[[str], None]
    """Called with the endpoint's name after each write of its record."""
    read_clocks: Callable[[], tuple[datetime, ClockMark]] | None = None
    """The present, and how far the wall clock is ahead of one that never steps; None: the wall clock never steps."""
    trouble: str | None = None
    """Why records cannot be read or written now."""
    observed: dict[str, Observation] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _kicks: dict[str, asyncio.Event] = field(default_factory=dict)
    _refused: Refusals = field(default_factory=Refusals)
    _routed: dict[str, RouteTable] = field(default_factory=dict)
    """The table that each endpoint's last tick put in force."""
    _troubles: dict[tuple[str, str], str] = field(default_factory=dict)
    """What goes wrong now, by endpoint and what was tried; logged once."""
    _unsaved: UnsavedRollbacks = field(default_factory=UnsavedRollbacks)
    _followed_from: dict[str, tuple[str, datetime | None]] = field(default_factory=dict)
    """By endpoint: its rollout, and when this engine first saw it; None if its new version had had traffic."""
    _stopped: bool = False
    _resting: RestingEndpoints = field(init=False)

    def __post_init__(self) -> None:
        self._resting = RestingEndpoints(self.store, self.targets, self.kick)

    async def start(self) -> None:
        """Take up every endpoint in the store, readable or not."""
        for name in sorted(await self.store.run(lambda tx: tx.versions(ENDPOINT))):
            self.kick(name)

    def guarded(self) -> list[GuardedRollout]:
        """The rollouts whose guards are to be judged."""
        found = list[GuardedRollout]()
        for name, loaded in self._unsaved.known.items():
            rollout, (followed, since) = loaded.endpoint.rollout, self._followed_from.get(name, ("", None))
            if rollout is None:
                continue
            if (one := guarded_rollout(loaded, since if followed == rollout.id else None)) is not None:
                found.append(one)
        return found

    def _note_rollout(self, endpoint: Endpoint, now: datetime) -> None:
        """Remember when a rollout was first seen here. A version that is ready at once may have its share before
        anybody else looks, so that only the engine knows whether it began under this controller."""
        rollout = endpoint.rollout
        if rollout is None:
            self._followed_from.pop(endpoint.name, None)
        elif self._followed_from.get(endpoint.name, ("", None))[0] != rollout.id:
            self._followed_from[endpoint.name] = rollout.id, None if was_routed(endpoint, rollout) else now

    def kick(self, name: str) -> None:
        """Look at the endpoint as soon as possible, and follow it if it is new. After ``stop`` nothing starts any
        more, whatever supervisors report."""
        if self._stopped:
            return
        self._resting.discard(name)
        self._kicks.setdefault(name, asyncio.Event()).set()
        if name not in self._tasks:
            task = self._tasks[name] = asyncio.create_task(self._follow(name), name=f"endpoint {name}")
            task.add_done_callback(lambda done: self._on_end(name, done))

    async def stop(self) -> None:
        self._stopped = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def compare(self) -> None:
        """Find endpoints at rest that somebody else has changed; to be called every ``STEADY_RESYNC`` seconds."""
        await self._resting.compare()

    async def _follow(self, name: str) -> None:
        pause: float | None = 0.0
        while pause is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_REST if pause == REST else pause):
                    await self._kicks[name].wait()
            self._kicks[name].clear()
            self._resting.discard(name)
            pause = await self._tick_logged(name)

    async def _tick_logged(self, name: str) -> float | None:
        try:
            pause = await self.tick(name)
        except Stale:
            return 0.0
        except TidegateError as error:
            self._log_trouble(name, "tick", str(error))
            return ACTIVE_RESYNC
        except Exception as error:
            if self._log_trouble(name, "tick", f"{type(error).__name__}: {error}"):
                log.exception("endpoint %s: a tick failed; trying again", name)
            return ACTIVE_RESYNC
        self._log_recovery(name, "tick")
        return pause

    def _log_trouble(self, name: str, what: str, message: str) -> bool:
        """Log trouble when it begins and when it changes, not on each retry."""
        if self._troubles.get((name, what)) == message:
            return False
        self._troubles[name, what] = message
        log.warning("endpoint %s: %s: %s", name, what, message)
        return True

    def _log_recovery(self, name: str, what: str) -> None:
        if self._troubles.pop((name, what), None) is not None:
            log.info("endpoint %s: %s: well again", name, what)

    async def tick(self, name: str) -> float | None:
        """One look, one decision. Seconds until the next look; None when the endpoint is gone."""
        read = await self._from_store(name, lambda tx: load(tx, name))
        if read is None:
            self._forget(name)
            return None
        loaded = self._unsaved.take(name, read, self.clock.now())
        look, version = await self._look(loaded.endpoint), read.version
        seen = self._observation(loaded, look)
        self.observed[name] = self._complete_observation(name, seen, look)
        loaded, now = self._adjust_deadlines(loaded)
        self._unsaved.known[name] = loaded
        self._note_rollout(loaded.endpoint, now)
        decision = step(loaded.endpoint, seen, now)
        if decision.endpoint != loaded.stored or loaded.events or decision.events:
            version = await self._from_store(name, lambda tx: self._save(tx, loaded, decision, now))
            self.written(name)
            for event in (*loaded.events, *decision.events):
                log.info("endpoint %s: %s", name, event.message)
            if self._unsaved.known.get(name) is not loaded:
                return 0.0  # It was turned back while this was saved: that counts, and this must not be acted on.
            self._unsaved.saved(name, decision.endpoint, version)
        if decision.endpoint is None:
            self._forget(name)
            return None
        self._note_rollout(decision.endpoint, now)
        done = [await self._act(action, decision.endpoint) for action in decision.actions]
        pause = self._pause(decision, now, all(done))
        kick = self._kicks.get(name)
        rests = pause == STEADY_RESYNC and decision.wake_at is None and not (kick is not None and kick.is_set())
        if rests and self._resting.add(name, Rest(decision.endpoint.target, version, look)):
            return REST
        return pause

    def _save(self, tx: Tx, loaded: LoadedEndpoint, decision: RolloutDecision, now: datetime) -> int:
        """Save the step, unless the rollout was turned back while this waited for its turn."""
        if self._unsaved.known.get(loaded.stored.name) is not loaded:
            raise Stale(loaded.stored.name)
        if loaded.endpoint.rollout is not None and loaded.endpoint.rollout.plan.alarms:
            # With the decision that rests on them, so that neither is ever shown without the other.
            named = loaded.endpoint.rollout.plan.alarms
            save_guard_states(tx, [one for one in self.guards.judged.values() if one.name in named], now)
        return save(tx, loaded, decision, now)

    async def _from_store(self, name: str, work: Callable[[Tx], R]) -> R:
        """The result of ``work`` in a transaction. While the store is slow, or if it fails or the record cannot be
        read any more, a rollout that must turn back does so without it."""
        task = asyncio.ensure_future(self.store.run(work))
        try:
            while not (await asyncio.wait({task}, timeout=STORE_PATIENCE))[0]:
                await self._turn_back_unsaved(name)
            result = task.result()
        except Unavailable as error:
            self.trouble = str(error)
            await self._turn_back_unsaved(name)
            raise
        except UnreadableRecord:  # the rollout goes on from memory as far as its guards are concerned
            await self._turn_back_unsaved(name)
            raise
        finally:
            task.cancel()
        self.trouble = None
        return result

    async def _turn_back_unsaved(self, name: str) -> None:
        """One look and one decision from memory, acted on only if it rolls back. Removing fleets waits for the
        store."""
        loaded = self._unsaved.known.get(name)
        if loaded is None or loaded.endpoint.rollout is None:
            return
        seen = self._observation(loaded, await self._look(loaded.endpoint))
        loaded, now = self._adjust_deadlines(loaded)
        decision = step(loaded.endpoint, seen, now)
        turned = self._unsaved.turn_back(name, decision.endpoint, decision.events)
        if turned is None:
            return
        for event in decision.events:
            log.warning("endpoint %s: %s (to be recorded when the database is back)", name, event.message)
        for action in decision.actions:
            if not isinstance(action, DeleteFleet):
                await self._act(action, turned.endpoint)

    def _adjust_deadlines(self, loaded: LoadedEndpoint) -> tuple[LoadedEndpoint, datetime]:
        """The record with its deadlines adjusted to steps of the wall clock, and the present."""
        if self.read_clocks is None:
            return loaded, self.clock.now()
        now, mark = self.read_clocks()
        endpoint, events = deadlines.follow_clock(loaded.endpoint, mark, now)
        return replace(loaded, endpoint=endpoint, events=(*loaded.events, *events)), now

    def _forget(self, name: str) -> None:
        """Drop all memory: the name may return as another endpoint with the same generations."""
        self.observed.pop(name, None)
        self._resting.discard(name)
        self._routed.pop(name, None)
        self._unsaved.forget(name)
        self._followed_from.pop(name, None)
        self._refused.forget_endpoint(name)
        self._troubles = {key: why for key, why in self._troubles.items() if key[0] != name}

    def _pause(self, decision: RolloutDecision, now: datetime, acted: bool) -> float:
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

    def _target(self, endpoint: Endpoint) -> Target:
        """Raises Unavailable."""
        found = self.targets.get(endpoint.target)
        if found is None:
            raise Unavailable(f"target {endpoint.target} is not set up: add it to the file of TIDEGATE_TARGETS")
        return found

    async def _look(self, endpoint: Endpoint) -> Look:
        name = endpoint.name
        try:
            look = await self._target(endpoint).observe(name)
        except TidegateError as error:
            self._log_trouble(name, "look", str(error))
            return Look(None, None)
        self._log_recovery(name, "look")
        return look

    def _complete_observation(self, name: str, seen: Observation, look: Look) -> Observation:
        """The observation with what only those need who show it."""
        before = self.observed.get(name)
        confirmed = seen.routes if seen.routes is not None else before.confirmed if before is not None else None
        own = [why for (endpoint, what), why in self._troubles.items() if endpoint == name and _is_shown(what)]
        troubles = dict.fromkeys([*([look.trouble] if look.trouble else []), *own])
        return replace(seen, confirmed=confirmed, troubles=tuple(troubles))

    def _observation(self, loaded: LoadedEndpoint, look: Look) -> Observation:
        """A permanent refusal is shown as that fleet's failure."""
        one, fleets = guarded_rollout(loaded), look.fleets
        if fleets is not None:
            fleets = self._refused.show(loaded.endpoint, fleets)
        if one is None:
            return Observation(fleets, look.routes, loaded.states)
        kept = [alarm for alarm in one.alarms if alarm.name in loaded.alarms]
        verdicts = self.guards.verdicts(one)
        told = {name: describe_breach(alarm) for name, alarm in _read_guards(one, loaded, verdicts).items()}
        return Observation(
            fleets,
            look.routes,
            combine_states(present_states(one, loaded, verdicts), self.guards.states(one)),
            self.guards.evidence(one),
            {name: text for name, text in told.items() if text},
            from_before=find_alarms_from_before(one, loaded, verdicts),
            deleted=tuple(alarm.name for alarm in one.alarms if alarm.name not in loaded.alarms),
            redefined=tuple(a.name for a in kept if not a.same_definition(loaded.alarms[a.name])),
            replay=self.guards.observers.replay(one.rollout),
            unobserved=self.guards.observers.absence,
            failures=self._failures_of_new(loaded.endpoint),
        )

    def _failures_of_new(self, endpoint: Endpoint) -> tuple[str, ...]:
        generation = endpoint.rollout.new.generation if endpoint.rollout else 0
        said = [
            message
            for fleet, messages in self.guards.failures.items()
            if (fleet.endpoint, fleet.generation) == (endpoint.name, generation)
            for message in messages
        ]
        return tuple(dict.fromkeys(said))[:MOST_FAILURES]

    async def _act(self, action: Action, endpoint: Endpoint) -> bool:
        """Whether the target accepted the action. A permanent refusal shows as that fleet's failure until it is
        accepted after all."""
        what = f"{type(action).__name__} {_subject(action)}".rstrip()
        try:
            target = self._target(endpoint)
            match action:
                case EnsureFleet(spec):
                    await target.ensure_fleet(spec, endpoint.fence)
                    self._refused.forget(spec.id)
                case DeleteFleet(id):
                    await target.delete_fleet(id, endpoint.fence)
                    self._refused.forget(id)
                case SetTraffic(table):
                    await target.set_traffic(table)
        except TidegateError as error:
            if isinstance(error, TargetRefused) and isinstance(action, EnsureFleet):
                self._refused.note(action.spec, str(error))
            self._log_trouble(endpoint.name, what, str(error))
            return False
        self._log_recovery(endpoint.name, what)
        return True

    def _on_end(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("endpoint %s: its loop failed; starting it again", name, exc_info=task.exception())
            self.kick(name)
        elif not task.cancelled() and self._kicks[name].is_set():
            # It was made anew while its loop was coming to its end.
            self.kick(name)
        else:
            del self._kicks[name]


def present_states(
    one: GuardedRollout, loaded: LoadedEndpoint, verdicts: Mapping[str, GuardVerdict]
) -> dict[str, AlarmState]:
    """The states on record that count as well as the verdicts. One that went into ALARM since the rollout began, and
    was not judged for it yet, is unknown: that may be by data of before."""
    guards, judged = _read_guards(one, loaded, verdicts), _find_judged(one, loaded, verdicts)
    found = dict[str, AlarmState]()
    for name, present in loaded.alarms.items():
        if name not in verdicts and name in judged and guards[name].state is not AlarmState.ALARM is present.state:
            found[name] = AlarmState.INSUFFICIENT_DATA
        elif name not in verdicts or name not in judged:
            found[name] = present.state
    return found


def find_alarms_from_before(
    one: GuardedRollout, loaded: LoadedEndpoint, verdicts: Mapping[str, GuardVerdict]
) -> tuple[str, ...]:
    """Guards in ALARM by data of before the rollout alone; not those that somebody set by hand, or that are in ALARM
    by a later definition."""
    judged, found = _find_judged(one, loaded, verdicts), []
    for name in (name for name, verdict in verdicts.items() if verdict.from_before):
        present = loaded.alarms.get(name)
        if present is None or present.state is not AlarmState.ALARM or name in judged:
            found.append(name)
    return tuple(found)


def _find_judged(one: GuardedRollout, loaded: LoadedEndpoint, verdicts: Mapping[str, GuardVerdict]) -> set[str]:
    """Alarms on record whose states there are those of their guards: not those that somebody set by hand, or that
    have a later definition. A composite alarm is none of them if its rule holds by alarms that are not, and by data
    since the rollout began."""
    guards = _read_guards(one, loaded, verdicts)
    judged = {
        name
        for name, present in loaded.alarms.items()
        if present.same_definition(guards[name]) and not reasons.is_given(present)
    }
    states = {name: alarm.state for name, alarm in guards.items()}
    states |= {name: AlarmState.OK for name, verdict in verdicts.items() if verdict.from_before}
    for name, present in loaded.alarms.items():
        if name not in judged and present.state_updated_at is not None:  # not one that was never judged
            states[name] = present.state
    for rule in alarm_rule.order(loaded.alarms[name] for name in judged):
        if alarm_rule.holds(alarm_rule.parse(rule.rule), states):
            judged.discard(rule.name)
            states[rule.name] = rule.state
    return judged


def _read_guards(
    one: GuardedRollout, loaded: LoadedEndpoint, verdicts: Mapping[str, GuardVerdict]
) -> dict[str, Alarm]:
    """Each guard as it was judged last, or else as it was when the rollout began; as it is on record, if it was none
    then."""
    began = {guard.name: guard for guard in one.alarms}
    return {**loaded.alarms, **began, **{name: verdict.alarm for name, verdict in verdicts.items()}}


def _is_shown(what: str) -> bool:
    """Whether users are to know of trouble with it: while traffic cannot be observed or set, a rollout does not move.
    Fleets show theirs themselves."""
    return what in ("look", "tick") or what.startswith(SetTraffic.__name__)


def combine_states(now: dict[str, AlarmState], judged: dict[str, AlarmState]) -> dict[str, AlarmState]:
    """The judged state of each alarm, or ALARM if the alarm is in it now: one set by hand, or by a later definition,
    also rolls back."""
    return {**now, **judged, **{name: state for name, state in now.items() if state is AlarmState.ALARM}}


def _subject(action: Action) -> str:
    match action:
        case EnsureFleet(spec):
            return str(spec.id)
        case DeleteFleet(id):
            return str(id)
    return ""
