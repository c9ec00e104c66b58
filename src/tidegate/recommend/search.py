"""Few loads instead of all: successive halving over configurations, bracket and bisection over the rate. Pure but for
``measure``.

Every configuration has one short load first; the better half goes on to a search for the highest rate that holds the
objective, and the best of those to a longer one (Jamieson and Talwalkar, "Non-stochastic best arm identification",
2016).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from tidegate.recommend.space import Candidate, Measure, Objective, Probe, Trial

GROWTH = 2.0
NARROW = 1.06
"""A bracket that is no wider is narrow enough."""
MOST_LOADS = 14
"""Of one configuration in one round."""


@dataclass(frozen=True)
class Effort:
    """Seconds of each load in the three rounds, and how many configurations go on from the first and the second."""

    first: float = 1.5
    second: float = 1.5
    third: float = 3.0
    kept: int = 4
    finalists: int = 2


def search(
    space: Sequence[Candidate],
    measure: Measure,
    objective: Objective,
    rate: float,
    effort: Effort = Effort(),
    *,
    tell: Callable[[str], None] = lambda _: None,
    late: Callable[[], bool] = lambda: False,
    most: float = inf,
) -> list[Trial]:
    """Trials, the best first. ``rate`` is where looking begins. ``late`` says that the time is over: what is not
    measured by then is left as it is. Rates above ``most`` are not looked for."""
    trials: list[Trial] = []
    for candidate in space:
        if late() and trials:
            break
        tell(f"first look: {candidate}")
        trials.append(Trial(candidate, (measure(candidate, rate, effort.first),)))
    trials = _ranked(trials, objective)
    for count, seconds, name in (
        (effort.kept, effort.second, "highest rate"),
        (effort.finalists, effort.third, "once more"),
    ):
        going_on = trials[:count]
        for trial in going_on:
            if late():
                break
            tell(f"{name}: {trial.candidate}")
            start = max(rate, *(p.rate for p in trial.probes if objective.holds(p)), 0.0)
            # What the longer loads say counts; the shorter ones only said where to look.
            found = highest(trial.candidate, measure, objective, start, seconds, most)
            trials[trials.index(trial)] = Trial(trial.candidate, found)
        trials = [*_ranked(trials[: len(going_on)], objective), *trials[len(going_on) :]]
    return trials


def highest(
    candidate: Candidate, measure: Measure, objective: Objective, start: float, seconds: float, most: float = inf
) -> tuple[Probe, ...]:
    """Doubles (or halves) the rate until the objective breaks (or holds), then bisects; not above ``most``."""
    probes: list[Probe] = []

    def holds(rate: float) -> bool:
        probes.append(measure(candidate, rate, seconds))
        return objective.holds(probes[-1])

    low = high = start
    if holds(start):
        while low < most and len(probes) < MOST_LOADS and holds(high := min(low * GROWTH, most)):
            low = high
    else:
        while len(probes) < MOST_LOADS // 2 and not holds(low := high / GROWTH):
            high = low
    while high / low > NARROW and len(probes) < MOST_LOADS:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    return tuple(probes)


def _ranked(trials: Sequence[Trial], objective: Objective) -> list[Trial]:
    """The cheapest request first; where nothing held, the one that came nearest to it."""
    return sorted(trials, key=lambda trial: (-trial.score(objective), min(p.latency for p in trial.probes)))
