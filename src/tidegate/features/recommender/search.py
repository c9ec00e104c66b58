"""Few loads instead of all: successive halving over configurations, bracket and bisection over the rate. Pure but for
``measure``.

Every configuration first climbs by doublings of a short load, until the objective breaks: at a low rate all look
alike. The better ones have their highest rate looked for; the best of those, as far as they are close together, are
measured again in turn, with longer loads and finer steps, so that what the machine does meanwhile meets all of them
(Jamieson and Talwalkar, "Non-stochastic best arm identification", 2016).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt

from tidegate.features.recommender.configurations import (
    CandidateConfiguration,
    LoadProbe,
    Measure,
    MeasuredConfiguration,
    Objective,
)

MOST_LOADS = 14
"""Of one configuration in one look for its highest rate."""
FASTEST = 2.0
"""Steps between rates grow to that, where the first ones did not find an end."""
CLOSE = 0.85
"""Of the best: configurations below it are not measured again."""


@dataclass(frozen=True)
class SearchEffort:
    """For the highest rate: loads of so many ``seconds``, at rates ``growth`` times one another until the objective
    breaks, then between the last two until those are ``narrow`` times one another."""

    seconds: float
    growth: float = 2.0
    narrow: float = 1.06


@dataclass(frozen=True)
class Effort:
    """The looks of the three rounds, how many configurations go on from the first and the second, and how often those
    of the last are measured."""

    first: SearchEffort = SearchEffort(0.75, narrow=2.0)
    second: SearchEffort = SearchEffort(1.5, growth=1.4)
    third: SearchEffort = SearchEffort(3.0, growth=1.08, narrow=1.025)
    kept: int = 4
    finalists: int = 3
    repeats: int = 2

    @classmethod
    def of(cls, seconds: float) -> "Effort":
        """Return the effort for a duration of loads. ``seconds``: of one load in the second round; half of that in
        the first, twice that in the last."""
        usual = cls()
        return cls(
            replace(usual.first, seconds=seconds / 2),
            replace(usual.second, seconds=seconds),
            replace(usual.third, seconds=seconds * 2),
        )

    @classmethod
    def within(cls, budget: float) -> "Effort":
        """Return an effort that fits the ``budget`` (seconds of the whole search), with shorter loads for a smaller
        one."""
        return cls.of(min(1.5, max(0.3, budget / 200)))

    @property
    def looks(self) -> int:
        """The largest number of measurements of the configurations that go on to the second and third rounds."""
        return self.kept + self.finalists * self.repeats


def search(
    space: Sequence[CandidateConfiguration],
    measure: Measure,
    objective: Objective,
    rate: float,
    effort: Effort = Effort(),
    *,
    tell: Callable[[str], None] = lambda _: None,
    late: Callable[[], bool] = lambda: False,
    most: float = inf,
) -> list[MeasuredConfiguration]:
    """Search for the best configurations, and return the trials, the best first. ``rate``: where the search begins;
    ``late``: whether the time is over, after which nothing more is measured; ``most``: the highest rate that is
    tried."""

    trials: list[MeasuredConfiguration] = []
    for candidate in space:
        if late() and trials:
            break
        tell(f"first look: {candidate}")
        trials.append(
            MeasuredConfiguration(
                candidate, highest(candidate, measure, objective, min(rate, most), effort.first, most)
            )
        )
    trials.sort(key=lambda trial: (-_promise(trial, objective), _nearest(trial)))
    going_on, others = trials[: effort.kept], trials[effort.kept :]
    for place, trial in enumerate(going_on):
        if late():
            break
        tell(f"highest rate: {trial.candidate}")
        start = _start(trial, objective, min(rate, most))
        found = highest(trial.candidate, measure, objective, start, effort.second, most)
        going_on[place] = replace(trial, probes=(*trial.probes, *found), looks=(found,))
    going_on = _rank(going_on, objective)
    close = going_on[0].score(objective) * CLOSE
    finalists = [trial for trial in going_on[: effort.finalists] if trial.score(objective) >= close > 0]
    if len(finalists) > 1:
        finalists = _measure_in_turn(finalists, measure, objective, effort, most, tell, late)
    return [*_rank(finalists, objective), *going_on[len(finalists) :], *others]


def _measure_in_turn(
    finalists: Sequence[MeasuredConfiguration],
    measure: Measure,
    objective: Objective,
    effort: Effort,
    most: float,
    tell: Callable[[str], None],
    late: Callable[[], bool],
) -> list[MeasuredConfiguration]:
    """Measure each finalist in turn, and repeat. A turn that time cuts short counts for none of them."""
    measured, looks = list(finalists), list[list[tuple[LoadProbe, ...]]]()
    for _ in range(effort.repeats):
        turn = []
        for place, trial in enumerate(measured):
            if late():
                break
            tell(f"once more: {trial.candidate}")
            start = _start(trial, objective, most)
            turn.append(highest(trial.candidate, measure, objective, start, effort.third, most))
            measured[place] = replace(trial, probes=(*trial.probes, *turn[-1]))
        if len(turn) == len(measured):
            looks.append(turn)
    if not looks:
        return measured
    # What the longer loads say counts; the shorter ones only said where to look.
    return [replace(trial, looks=found) for trial, found in zip(measured, zip(*looks, strict=True), strict=True)]


def highest(
    candidate: CandidateConfiguration,
    measure: Measure,
    objective: Objective,
    start: float,
    look: SearchEffort,
    most: float = inf,
) -> tuple[LoadProbe, ...]:
    """Find the highest rate at which the objective holds, up to ``most``. Raises (or lowers) the rate by the look's
    growth and more until the objective breaks (or holds), then bisects."""
    probes: list[LoadProbe] = []

    def holds(rate: float) -> bool:
        probes.append(measure(candidate, rate, look.seconds))
        return objective.holds(probes[-1])

    low = high = start
    step = look.growth
    if holds(start):
        while low < most and len(probes) < MOST_LOADS and holds(high := min(low * step, most)):
            low, step = high, min(step**2, FASTEST)
    else:
        while len(probes) < MOST_LOADS // 2 and not holds(low := high / step):
            high, step = low, min(step**2, FASTEST)
    while high / low > look.narrow * (1 + 1e-9) and len(probes) < MOST_LOADS:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    return tuple(probes)


def _start(trial: MeasuredConfiguration, objective: Objective, otherwise: float) -> float:
    """The highest rate that held so far."""
    best = trial.best(objective)
    return otherwise if best is None else best.rate


def _promise(trial: MeasuredConfiguration, objective: Objective) -> float:
    """Score a configuration by its first round: the geometric mean of the rate of one core that held the objective
    (known to a factor of two) and the highest rate of one core that was answered at all."""
    through = max(probe.answered / probe.cores for probe in trial.probes)
    return sqrt(trial.score(objective) * through)


def _nearest(trial: MeasuredConfiguration) -> float:
    return min(probe.latency for probe in trial.probes)


def _rank(trials: Sequence[MeasuredConfiguration], objective: Objective) -> list[MeasuredConfiguration]:
    """The cheapest request first; where nothing held, the one that came nearest to it."""
    return sorted(trials, key=lambda trial: (-trial.score(objective), _nearest(trial)))
