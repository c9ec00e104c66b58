"""The guards of rollouts: the alarms that can turn one back, judged each second from memory, before anything else.

A rollout's guards are judged by the definitions that it started with, so that neither an edit nor a store that is
away disarms them. Each endpoint's guards are judged apart: what cannot be judged for one is unknown there and changes
nothing elsewhere.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.metric import Coverage
from tidegate.domain.observation import Evidence
from tidegate.monitoring import metric_math
from tidegate.monitoring.alarms import EXTRA, evaluate, windows
from tidegate.ports.metrics import Metrics
from tidegate.reconcile.alarm_data import points
from tidegate.rollout.deadlines import SMALLEST_STEP

log = logging.getLogger(__name__)

BUDGET = 100_000
"""Steps of evaluation (points, and what metric math makes of each) that one round may take. What does not fit waits
for the next round, cheap guards going first: an expensive guard holds its own rollout, never another's."""

PATIENCE = 3.0
"""Seconds that the data of one guard may take to be read. Windows beyond what metrics hold in memory are read from
the database, which may be slow or away."""
EXPENSIVE = BUDGET // 100
NEVER = datetime.min.replace(tzinfo=UTC)

Key = tuple[str, str]
"""The id of a rollout, and the name of an alarm."""


@dataclass(frozen=True)
class Guarded:
    """A rollout under way and the alarms that guard it."""

    endpoint: str
    rollout: str
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True)
class Verdict:
    """A guard after it was judged, when, and up to when the data reach that it was judged by."""

    alarm: Alarm
    at: datetime
    through: datetime


@dataclass
class Guards:
    """``states`` and ``evidence`` answer for rollouts as of the last round."""

    metrics: Metrics
    read_ahead: Callable[[], float] | None = None
    """Seconds that the wall clock is ahead of one that never steps; None: the wall clock never steps."""
    _ahead: float | None = None
    _verdicts: dict[Key, Verdict] = field(default_factory=dict)
    _rounds: dict[str, tuple[datetime, Coverage]] = field(default_factory=dict)
    """By endpoint: when its requests were counted last, and over which span without a hole."""
    _troubles: dict[Key, str] = field(default_factory=dict)

    async def judge(self, guarded: Iterable[Guarded], coverage: Mapping[str, Coverage], now: datetime) -> None:
        """One round. ``coverage`` is what was collected up to ``now``, by endpoint."""
        self._keep_time()
        rollouts = list(guarded)
        self._rounds |= {name: (now, covered) for name, covered in coverage.items()}
        queue = [((one.rollout, alarm.name), alarm, one.endpoint) for one in rollouts for alarm in one.alarms]
        wanted = {key for key, _, _ in queue}
        self._verdicts = {key: verdict for key, verdict in self._verdicts.items() if key in wanted}
        self._troubles = {key: why for key, why in self._troubles.items() if key in wanted}
        spent = 0
        for key, alarm, endpoint in sorted(queue, key=self._order):
            if spent and spent + cost(alarm) > BUDGET:
                continue
            spent += cost(alarm)
            await self._judge_one(key, alarm, endpoint, now)
            await asyncio.sleep(0)  # the loop has others to serve between two guards

    def _order(self, queued: tuple[Key, Alarm, str]) -> tuple[bool, datetime, int]:
        """Cheap ones first; of the expensive ones those that have waited longest."""
        key, alarm, _ = queued
        steps, last = cost(alarm), self._verdicts.get(key)
        expensive = steps > EXPENSIVE
        return expensive, last.at if expensive and last is not None else NEVER, steps

    async def _judge_one(self, key: Key, alarm: Alarm, endpoint: str, now: datetime) -> None:
        last = self._verdicts.get(key)
        standing = alarm if last is None else last.alarm
        try:
            async with asyncio.timeout(PATIENCE):
                after = evaluate(standing, await points(self.metrics, standing, now), now)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            if self._troubles.get(key) != why:
                log.warning("alarm %s cannot be judged for endpoint %s: %s", alarm.name, endpoint, why)
            self._troubles[key] = why
            return
        self._troubles.pop(key, None)
        end = datetime.fromtimestamp(windows(alarm, now).stop, UTC)
        through = [self._through(name) for name in {endpoint, *watched(alarm)} if name in self._rounds]
        self._verdicts[key] = Verdict(after, now, min([end, *through]))

    def _through(self, endpoint: str) -> datetime:
        return _instant(self._rounds[endpoint][1].through)

    def states(self, one: Guarded) -> dict[str, AlarmState]:
        """The state of each guard that was judged."""
        found = ((alarm.name, self._verdicts.get((one.rollout, alarm.name))) for alarm in one.alarms)
        return {name: verdict.alarm.state for name, verdict in found if verdict is not None}

    def evidence(self, one: Guarded) -> Evidence | None:
        """What a step of this rollout may rest on; None where part of it was never collected or judged."""
        self._keep_time()
        counted = self._rounds.get(one.endpoint)
        verdicts = [self._verdicts.get((one.rollout, alarm.name)) for alarm in one.alarms]
        if counted is None or None in verdicts:
            return None
        at, coverage = counted
        judged = [verdict for verdict in verdicts if verdict is not None]
        return Evidence(
            judged_at=min([at, *(verdict.at for verdict in judged)]),
            since=_instant(coverage.since),
            through=min([_instant(coverage.through), *(verdict.through for verdict in judged)]),
        )

    def _keep_time(self) -> None:
        """What was judged before the wall clock was set is dropped: its times mean nothing to the deadlines that move
        with the clock. States stay; the next round is less than a second away."""
        if self.read_ahead is None:
            return
        ahead = self.read_ahead()
        if self._ahead is not None and abs(ahead - self._ahead) >= SMALLEST_STEP:
            self._rounds.clear()
            self._verdicts = {key: replace(verdict, at=NEVER) for key, verdict in self._verdicts.items()}
        elif self._ahead is not None:
            return
        self._ahead = ahead


def watched(alarm: Alarm) -> set[str]:
    """Endpoints whose metrics the alarm looks at."""
    named = [alarm.dimensions, *(dict(q.metric.dimensions) for q in alarm.queries if q.metric is not None)]
    return {dimensions["EndpointName"] for dimensions in named if "EndpointName" in dimensions}


def cost(alarm: Alarm) -> int:
    """Steps of one evaluation."""
    spans = alarm.evaluation_periods + EXTRA
    return spans * (metric_math.size(alarm.queries) if alarm.queries else 1)


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
