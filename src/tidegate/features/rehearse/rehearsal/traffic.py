"""The traffic of a rehearsed rollout: requests drawn period by period, and the alarms that watch them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.evidence import Comparison
from tidegate.features.rehearse.promise import Baseline, Quantity, alarm_model
from tidegate.features.rehearse.rehearsal.alarm_replay import (
    PeriodCache,
    PeriodRequests,
    ReplayedAlarm,
    is_simulated,
    latency_cuts,
    look_interval,
)
from tidegate.features.rehearse.rehearsal.compared_traffic import RehearsedComparison, latency_edges
from tidegate.features.rehearse.rehearsal.sampling import NOTHING, DrawnRequests, RequestSampler, make_kinds


@dataclass(frozen=True)
class VariantStream:
    """Requests of one variant: ``rate`` per second, behaviour of a good and of the new version, and the alarms on
    them."""

    variant: str
    rate: float
    good: RequestSampler
    new: RequestSampler
    alarms: tuple[Alarm, ...]
    remembered: Mapping[str, PeriodCache]


def make_streams(
    rate: float,
    parts: Mapping[str, float],
    alarms: Sequence[Alarm],
    good: Baseline,
    new: Baseline,
    compared: frozenset[Comparison] = frozenset(),
) -> list[VariantStream]:
    """Make a stream for each variant; ``parts``: variant -> its fraction of the requests; ``compared``: what of the
    two versions is."""
    made = []
    for variant, part in parts.items():
        own = tuple(
            a
            for a in alarms
            if is_simulated(a, good) and a.dimensions.get(alarm_model.VARIANT, variant) == variant
        )
        spreads = [side.latency for side in (good, new) if side.latency is not None]
        edges = [cut for alarm in own for cut in latency_cuts(alarm, spreads)]
        refused = any(alarm_model.watched_quantity(alarm) is Quantity.REFUSALS for alarm in own)
        refused = refused or Comparison.ERRORS in compared
        sides = (good, new) if refused else tuple(replace(side, refusal_rate=0.0) for side in (good, new))
        told_apart = Comparison.LATENCY in compared
        kinds = (
            make_kinds(side.latency, [*edges, *(latency_edges(side.latency) if told_apart else ())])
            for side in sides
        )
        crowds = [RequestSampler(side, kind) for side, kind in zip(sides, kinds, strict=True)]
        remembered: dict[str, PeriodCache] = {alarm.name: {} for alarm in own}
        made.append(VariantStream(variant, rate * part, crowds[0], crowds[1], own, remembered))
    return made


@dataclass
class RehearsalTraffic:
    """Requests of one run. ``offset``: seconds into a minute of the clock at which the rollout begins. ``requests``
    counts those of the new version. ``hidden``: alarms see nothing of them."""

    streams: Sequence[VariantStream]
    chance: Random
    offset: float
    compared: RehearsedComparison | None = None
    hidden: bool = False
    now: float = 0.0
    requests: int = 0
    states: dict[str, AlarmState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.compared is not None:
            self.offset = float(int(self.offset))  # so that periods end where blocks do
        looks = [look_interval(alarm) for stream in self.streams for alarm in stream.alarms]
        self._step = float(math.gcd(*looks)) if looks else 60.0
        self._lanes = [self._lane(stream) for stream in self.streams]
        self.states.update({one.alarm.name: one.alarm.state for lane in self._lanes for one in lane.alarms})

    def _lane(self, stream: VariantStream) -> "_AlarmLane":
        step = int(self._step)
        judged = [
            ReplayedAlarm(
                alarm,
                alarm.period // step,
                (stream.new.kinds, stream.good.kinds),
                stream.remembered[alarm.name],
            )
            for alarm in stream.alarms
        ]
        both = any(not alarm_model.sees_new_version_only(alarm) for alarm in stream.alarms)
        lane = _AlarmLane(stream, judged, both or self.compared is not None)
        longest = max((one.cells for one in judged), default=1)
        lane.cells = [lane.draw(0.0, self._step, self.chance, True) for _ in range(longest)]
        return lane

    def advance(self, until: float, share: float) -> bool:
        """Draw requests up to ``until`` seconds, ``share`` of them for the new version. Stops with True at the first
        evaluation that changes an alarm's state or the verdict on the stage; ``now`` is its time."""
        step, offset, compared = self._step, self.offset, self.compared
        while self.now < until:
            number = math.floor((self.now + offset) / step + 1e-9) + 1
            end = number * step - offset
            whole = end - self.now > step - 1e-6
            stop = min(end, until) if compared is None else min(end, until, compared.due(self.now))
            seconds = step if whole and stop == end else stop - self.now
            for lane in self._lanes:
                self._draw(lane, share, seconds, stop)
            self.now = stop
            changed = stop == end and self._look(number)
            if (compared is not None and compared.close(stop)) or changed:
                return True
        return False

    def _draw(self, lane: "_AlarmLane", share: float, seconds: float, stop: float) -> None:
        often = seconds == self._step or (self.compared is not None and seconds == int(seconds))
        new, old = lane.draw(share, seconds, self.chance, often)
        self.requests += new.requests
        lane.add((NOTHING if self.hidden else new, old))
        if self.compared is not None:
            self.compared.take(lane.stream.variant, (self.now, stop), share, (old, new))

    def _look(self, number: int) -> bool:
        """Evaluate the alarms at the end of a step."""
        changed, second = False, number * int(self._step)
        for lane in self._lanes:
            lane.close()
            for one in lane.alarms:
                if second % one.every == 0 and one.look(lane.cells, self.now):
                    self.states[one.alarm.name] = one.alarm.state
                    changed = True
        return changed


@dataclass
class _AlarmLane:
    stream: VariantStream
    alarms: list[ReplayedAlarm]
    both: bool
    """Whether some alarm also sees the old version."""
    cells: list[PeriodRequests] = field(default_factory=list)
    _open: PeriodRequests = (NOTHING, NOTHING)

    def draw(self, share: float, seconds: float, chance: Random, often: bool) -> PeriodRequests:
        whole = self.stream.rate * seconds
        new = self.stream.new.draw(whole * share, chance, often=often)
        old: DrawnRequests = NOTHING
        if self.both and share < 1:
            old = self.stream.good.draw(whole * (1 - share), chance, often=often)
        return new, old

    def add(self, drawn: PeriodRequests) -> None:
        if self._open == (NOTHING, NOTHING):
            self._open = drawn
            return
        self._open = (self._open[0].plus(drawn[0]), self._open[1].plus(drawn[1]))

    def close(self) -> None:
        self.cells.append(self._open)
        self._open = (NOTHING, NOTHING)
        if len(self.cells) > 10_000:
            del self.cells[:-5_000]
