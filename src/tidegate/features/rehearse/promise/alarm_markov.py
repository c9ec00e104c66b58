"""An alarm's memory as a Markov chain, built with the rules that evaluate real alarms.

A node is the part of the last periods that still matters; an edge is one period that was fine, breached or had no
data. The graph is built by calling ``monitoring.alarms.judge``, so M out of N and the treatment of missing data are
not implemented twice. Periods that are alike and independent make it a Markov chain, and the probability that the
alarm has fired by some time is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator, MissingData
from tidegate.features.rehearse.promise.alarm_model import PeriodChances
from tidegate.monitoring.alarm_evaluation import EXTRA, judge
from tidegate.monitoring.samples import Datapoint

FINE, BREACH, GAP = 0, 1, 2
FIRED = -1
"""The absorbing node of an alarm that has fired: the rollout stops there."""
MAX_NODES = 3_000
"""Larger graphs take too long and are built without gaps (see ``build_chain``)."""
NEGLIGIBLE_GAPS = 1e-9
"""Periods without data that are rarer than this are ignored."""

Cells = tuple[int, ...]
Node = tuple[Cells, AlarmState]


@dataclass(frozen=True)
class AlarmChain:
    """``following[node][kind of period]`` is the next node or FIRED. ``start`` may be FIRED, too: some alarms fire
    before the first request."""

    start: int
    following: tuple[tuple[int, int, int], ...]
    exact: bool

    def initial_mass(self) -> list[float]:
        """Probability of each node at the start."""
        mass = [0.0] * len(self.following)
        if self.start != FIRED:
            mass[self.start] = 1.0
        return mass

    def advance(self, mass: Sequence[float], period: PeriodChances) -> list[float]:
        """Probabilities one period later; the probability of having fired is missing from the sum."""
        chances = (1 - period.breach - period.nothing, period.breach, period.nothing)
        later = [0.0] * len(mass)
        for node, here in enumerate(mass):
            if here > 1e-300:
                for place, chance in zip(self.following[node], chances, strict=True):
                    if place >= 0 and chance > 0:
                        later[place] += here * chance
        return later

    def advance_many(self, mass: list[float], period: PeriodChances, count: int) -> list[float]:
        """Probabilities ``count`` equal periods later, by repeated squaring if that is faster."""
        size = len(mass)
        if size > 12 or count < 8 * size:
            for _ in range(count):
                mass = self.advance(mass, period)
            return mass
        power = [self.advance([float(i == j) for j in range(size)], period) for i in range(size)]
        while count:
            if count & 1:
                mass = _multiply([mass], power)[0]
            power = _multiply(power, power)
            count >>= 1
        return mass


def _multiply(left: list[list[float]], right: list[list[float]]) -> list[list[float]]:
    columns = list(zip(*right, strict=True))
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in left]


def build_chain(alarm: Alarm, *, gaps: bool, history: bool) -> AlarmChain:
    """Build the alarm's chain. ``gaps``: periods without data can occur; if that needs too many nodes, gaps are
    replaced according to their treatment and the chain is not exact. ``history``: the metric had good data before."""
    periods, datapoints, missing = alarm.evaluation_periods, alarm.datapoints_to_alarm, alarm.missing
    if gaps and (made := _explore(periods, datapoints, missing, True, history)):
        return made
    if made := _explore(periods, datapoints, missing, False, history):
        return replace(made, exact=not gaps)
    # Long windows: M in a row is stricter than M of N, so whatever it detects is detected.
    made = _explore(datapoints, datapoints, missing, False, history)
    assert made is not None  # M of M has M nodes
    return replace(made, exact=False)


@lru_cache(maxsize=256)
def _explore(periods: int, datapoints: int, missing: MissingData, gaps: bool, history: bool) -> AlarmChain | None:
    alarm = _make_alarm(periods, datapoints, missing)
    length = periods + EXTRA
    empty = (FINE if history else GAP,) * length
    first = judge(replace(alarm, state=AlarmState.OK if history else alarm.state), _to_datapoints(empty)).state
    if first is AlarmState.ALARM:
        return AlarmChain(FIRED, (), True)
    start = _trim(alarm, (empty, first), gaps)
    places, queue, following = {start: 0}, [start], list[tuple[int, int, int]]()
    for node in queue:
        row = []
        for kind in (FINE, BREACH, GAP):
            cells = (*node[0], _fill_gap(alarm, kind, gaps))[-length:]
            state = judge(replace(alarm, state=node[1]), _to_datapoints(cells)).state
            if state is AlarmState.ALARM:
                row.append(FIRED)
                continue
            after = _trim(alarm, (cells, state), gaps)
            if after not in places:
                places[after] = len(queue)
                queue.append(after)
            row.append(places[after])
        following.append((row[0], row[1], row[2]))
        if len(queue) > MAX_NODES:
            return None
    return _minimize(following)


def _minimize(following: list[tuple[int, int, int]]) -> AlarmChain:
    """Merge equivalent nodes (Moore's partition refinement)."""
    kinds = [0] * len(following)
    while True:
        signs = [(kinds[n], *(FIRED if p == FIRED else kinds[p] for p in row)) for n, row in enumerate(following)]
        numbers = {sign: number for number, sign in enumerate(dict.fromkeys(signs))}
        finer = [numbers[sign] for sign in signs]
        if len(numbers) == len(set(kinds)):
            break
        kinds = finer
    rows = {
        kind: (_kind(finer, row[0]), _kind(finer, row[1]), _kind(finer, row[2]))
        for kind, row in zip(finer, following, strict=True)
    }
    return AlarmChain(finer[0], tuple(rows[kind] for kind in range(len(rows))), True)


def _kind(kinds: list[int], place: int) -> int:
    return FIRED if place == FIRED else kinds[place]


def _fill_gap(alarm: Alarm, kind: int, gaps: bool) -> int:
    if kind != GAP or gaps:
        return kind
    return BREACH if alarm.missing is MissingData.BREACHING else FINE


def _trim(alarm: Alarm, node: Node, gaps: bool) -> Node:
    """Drop what can no longer matter. Without further gaps that is everything but the breaching periods that can
    still be among M in N; earlier gaps are then equivalent to fine periods."""
    cells, _ = node
    if gaps:
        return node
    wanted, kept, newer = alarm.evaluation_periods, list[int](), 0
    for age, kind in enumerate(reversed(cells[-wanted:])):
        room = wanted - 1 - age
        useful = kind == BREACH and newer + 1 + room >= alarm.datapoints_to_alarm
        newer += kind == BREACH
        kept.append(BREACH if useful else FINE)
    return (FINE,) * (len(cells) - len(kept)) + tuple(reversed(kept)), AlarmState.OK


def _make_alarm(periods: int, datapoints: int, missing: MissingData) -> Alarm:
    """An alarm for which only the breaching periods matter: those with value 1."""
    return Alarm(
        "any",
        "any",
        "any",
        {},
        "Sum",
        60,
        periods,
        datapoints,
        0.5,
        ComparisonOperator.GREATER,
        datetime.max,
        missing,
    )


_KNOWN = {FINE: Datapoint(0, 0.0), BREACH: Datapoint(0, 1.0), GAP: None}


def _to_datapoints(cells: Cells) -> list[Datapoint | None]:
    return [_KNOWN[kind] for kind in cells]
