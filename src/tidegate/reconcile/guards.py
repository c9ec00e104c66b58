"""The guards of rollouts: the alarms that can turn one back, judged each second from memory, before anything else.

A rollout's guards are judged by the definitions that it started with, so that neither an edit nor a store that is
away disarms them. Each endpoint's guards are judged apart: what cannot be judged for one is unknown there and changes
nothing elsewhere.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from tidegate.domain import alarm_rule
from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import Coverage
from tidegate.domain.observation import GuardCheck
from tidegate.monitoring.alarm_data import Data, needed, needed_since, rests_on_data_since
from tidegate.monitoring.alarm_evaluation import windows
from tidegate.monitoring.guard_verdicts import (
    NEVER,
    GuardVerdict,
    Key,
    QueuedGuard,
    evidence,
    judge_composite,
    judge_guard,
    pick_round,
)
from tidegate.ports.metrics import Metrics
from tidegate.reconcile.reads import read_all
from tidegate.reconcile.rollout_observers import ComparedVersions, RolloutObservers
from tidegate.rollout.deadlines import SMALLEST_STEP

log = logging.getLogger(__name__)

PATIENCE = 3.0
"""Seconds that the data of one guard may take to be read. Windows beyond what metrics hold in memory are read from
the database, which may be slow or away."""
AHEAD = 10.0
"""Seconds by which counts may reach beyond the present: a small correction of the clock takes no guard away."""
PROMPT = 0.05
"""Seconds after which the next guard is judged beside one that still waits for its data."""


@dataclass(frozen=True)
class GuardedRollout:
    """A rollout under way and the alarms that guard it, as they were when it began."""

    endpoint: str
    rollout: str
    alarms: tuple[Alarm, ...]
    versions: ComparedVersions | None = None
    """The versions that are compared; None for a first version, and where they have no variant in common."""
    since: datetime = NEVER
    """When it began."""


@dataclass
class Guards:
    """``states`` and ``evidence`` answer for rollouts as of the last round."""

    metrics: Metrics
    read_ahead: Callable[[], float] | None = None
    """Seconds that the wall clock is ahead of one that never steps; None: the wall clock never steps."""
    observers: RolloutObservers = field(default_factory=RolloutObservers)
    failures: dict[FleetId, tuple[str, ...]] = field(default_factory=dict)
    """The last messages of failed requests of each fleet, the newest first."""
    _ahead: float | None = None
    _verdicts: dict[Key, GuardVerdict] = field(default_factory=dict)
    _rounds: dict[str, tuple[datetime, Coverage]] = field(default_factory=dict)
    """By endpoint: when its requests were counted last, and over which span without a hole."""
    _troubles: dict[Key, str] = field(default_factory=dict)
    _since: dict[str, datetime] = field(default_factory=dict)
    """When each rollout began."""
    _clock_was_set: set[str] = field(default_factory=set)
    """Rollouts in whose course the wall clock was set."""

    async def judge(
        self, guarded: Iterable[GuardedRollout], coverage: Mapping[str, Coverage], now: datetime
    ) -> None:
        """Judge one round of the guards. ``coverage`` is what was collected up to ``now``, by endpoint."""
        self._keep_time()
        rollouts = list(guarded)
        # Nothing was counted of a time to come: a source that says so has not noticed that the clock was set back.
        until = now.timestamp() + AHEAD
        self._rounds |= {name: (now, one) for name, one in coverage.items() if one.through <= until}
        every = [((one.rollout, alarm.name), alarm, one.endpoint) for one in rollouts for alarm in one.alarms]
        present, guards = {key for key, _, _ in every}, [guard for guard in every if not guard[1].rule]
        self._verdicts = {key: verdict for key, verdict in self._verdicts.items() if key in present}
        self._troubles = {key: why for key, why in self._troubles.items() if key in present}
        self._since = {one.rollout: one.since for one in rollouts}
        self._clock_was_set &= self._since.keys()
        await self._judge_round(
            pick_round(QueuedGuard(*guard, self._time_of_verdict(guard[0])) for guard in guards), now
        )
        for one in rollouts:
            self._judge_composites(one, now)

    def _judge_composites(self, one: GuardedRollout, now: datetime) -> None:
        """Judge composite alarms by the verdicts on the alarms that their rules name. A composite alarm that these
        leave open keeps its last verdict."""
        for alarm in alarm_rule.order(one.alarms):
            named = {name: self._verdicts.get((one.rollout, name)) for name in alarm_rule.named_alarms(alarm.rule)}
            last = self._verdicts.get((one.rollout, alarm.name))
            present = alarm if last is None else last.alarm
            excused = present.state is not AlarmState.ALARM or (last is not None and last.from_before)
            verdict = judge_composite(present, named, now, excused=excused)
            if verdict is not None:
                self._verdicts[one.rollout, alarm.name] = verdict

    async def _judge_round(self, picked: Iterable[QueuedGuard], now: datetime) -> None:
        """Judge guards one after the other. Those whose data the database does not give wait concurrently: however
        many there are, the guards of others are judged again soon."""
        waiting = set[asyncio.Task[None]]()
        try:
            for one in picked:
                task = asyncio.create_task(self._judge_one(one, now), name=f"guard {one.alarm.name}")
                waiting.add(task)
                await asyncio.wait({task}, timeout=0 if one.key in self._troubles else PROMPT)
                waiting = {each for each in waiting if not each.done()}
            if waiting:
                await asyncio.wait(waiting)
        finally:
            for task in waiting:
                task.cancel()

    def _time_of_verdict(self, key: Key) -> datetime | None:
        verdict = self._verdicts.get(key)
        return None if verdict is None else verdict.at

    async def _judge_one(self, guard: QueuedGuard, now: datetime) -> None:
        """Judge one guard. One that cannot be judged keeps its last verdict, whose age the evidence then shows."""
        key, last = guard.key, self._verdicts.get(guard.key)
        alarm = guard.alarm if last is None else last.alarm
        until = asyncio.get_running_loop().time() + PATIENCE
        try:
            async with asyncio.timeout_at(until):
                data = await read_all(self.metrics, needed(alarm, now))
                verdict = judge_guard(alarm, guard.endpoint, data, self._rounds, now)
        except Exception as error:
            self._note(guard, "cannot be judged", error)
            return
        before = False
        try:
            async with asyncio.timeout_at(until):
                before = await self._is_from_before(guard, verdict.alarm, data, now)
        except Exception as error:
            # The alarm counts all the same: rolling back needs less evidence than holding.
            self._note(guard, "is in ALARM, and it cannot be read whether by data of before the rollout", error)
        else:
            self._troubles.pop(key, None)
        self._verdicts[key] = replace(verdict, from_before=before)

    def _note(self, guard: QueuedGuard, what: str, error: Exception) -> None:
        """Log trouble with a guard when it begins and when it changes."""
        why = f"{what}: {type(error).__name__}: {error}"
        if self._troubles.get(guard.key) != why:
            log.warning("endpoint %s: alarm %s %s", guard.endpoint, guard.alarm.name, why)
        self._troubles[guard.key] = why

    async def _is_from_before(self, guard: QueuedGuard, alarm: Alarm, data: Data, now: datetime) -> bool:
        """Whether the guard went into ALARM by data of before the rollout began alone. That excuses none that was in
        ALARM already. After the clock was set, data of before cannot be told from those of later."""
        last, began = self._verdicts.get(guard.key), self._since.get(guard.key[0], NEVER)
        if alarm.state is not AlarmState.ALARM or began > now or guard.key[0] in self._clock_was_set:
            return False
        was = guard.alarm if last is None else last.alarm
        excused = last is not None and last.from_before
        if (was.state is AlarmState.ALARM and not excused) or windows(alarm, now).start >= began.timestamp():
            return False
        start = math.ceil(began.timestamp())
        rests = await read_all(self.metrics, needed_since(alarm, start, now))
        return not rests_on_data_since(alarm, data, rests, start, now)

    def verdicts(self, one: GuardedRollout) -> dict[str, GuardVerdict]:
        """The last verdict on each guard that was judged."""
        found = ((alarm.name, self._verdicts.get((one.rollout, alarm.name))) for alarm in one.alarms)
        return {name: verdict for name, verdict in found if verdict is not None}

    def states(self, one: GuardedRollout) -> dict[str, AlarmState]:
        """The state of each guard that was judged."""
        return {name: verdict.alarm.state for name, verdict in self.verdicts(one).items()}

    @property
    def judged(self) -> dict[str, Alarm]:
        """Return each guard as judged last, by name; if one guards several rollouts, the one that changed last."""
        alarms = [verdict.alarm for verdict in self._verdicts.values()]
        return {alarm.name: alarm for alarm in sorted(alarms, key=lambda one: one.state_changed_at or NEVER)}

    def evidence(self, one: GuardedRollout) -> GuardCheck | None:
        """Return the evidence for a step of this rollout; None if part of it was never collected or judged."""
        self._keep_time()
        verdicts = [self._verdicts.get((one.rollout, alarm.name)) for alarm in one.alarms]
        found = evidence(self._rounds.get(one.endpoint), verdicts)
        return found and replace(found, verdict=self.observers.verdict(one.rollout))

    def _keep_time(self) -> None:
        """Drop what was judged before the wall clock was set, since its times mean nothing to the deadlines that move
        with the clock. States stay; the next round is less than a second away."""
        if self.read_ahead is None:
            return
        ahead = self.read_ahead()
        if self._ahead is not None and abs(ahead - self._ahead) >= SMALLEST_STEP:
            self._rounds.clear()
            self._clock_was_set |= self._since.keys()
            self._verdicts = {key: replace(verdict, at=NEVER) for key, verdict in self._verdicts.items()}
        elif self._ahead is not None:
            return
        self._ahead = ahead
