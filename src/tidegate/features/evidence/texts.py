"""Comparison of answers that are text: its tests, their thresholds, and the counts of one block. Pure.

Refusals, repetitions and empty answers are rates; lengths and times are compared by the part of the answers beyond a
quantile of the old version's. Lengths are those that the answers give themselves if all of a block do, and otherwise
what was counted: the two are different units."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tidegate.domain.evidence import Counts, TextTolerance
from tidegate.domain.text_answers import TextAnswer
from tidegate.features.evidence.pace import FEWEST, LATENCY_SLACK, allowed_delay, allowed_speed
from tidegate.statistics.distribution import Distribution, merge
from tidegate.statistics.rates import RateTest
from tidegate.statistics.shares import ShareTest

REFUSALS, REPETITIONS, EMPTY = "refusals", "repetitions", "empty"
LONGER, SHORTER = "longer ", "shorter "
LENGTH_LEVELS = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
FIRST_TOKEN = {"first token p50": 0.5, "first token p95": 0.95}
SPEED = {"speed p50": 0.5}
GIVEN = " given"
"""End of the name of a threshold for lengths that the answers give themselves."""
WORDS = {REFUSALS: "refuse", REPETITIONS: "repeat themselves", EMPTY: "are empty"}


@dataclass(frozen=True)
class TextCounts:
    """The counts of the texts of one version in a block. ``refusals``: by list of phrases, the answers that were
    searched for them, and how many refuse. Lengths and times are of answers that are not empty: ``lengths`` in tokens
    as counted, ``given`` as stated, ``firsts`` in microseconds, ``speeds`` in tokens per second."""

    answers: int = 0
    repeated: int = 0
    empty: int = 0
    refusals: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    lengths: Distribution = field(default_factory=Distribution)
    given: Distribution = field(default_factory=Distribution)
    firsts: Distribution = field(default_factory=Distribution)
    speeds: Distribution = field(default_factory=Distribution)


def count_texts(answers: Iterable[TextAnswer]) -> TextCounts:
    every = list(answers)
    said = [one for one in every if not one.empty]
    refusals: dict[int, tuple[int, int]] = {}
    for one in every:
        looked, refused = refusals.get(one.phrases, (0, 0))
        refusals[one.phrases] = (looked + 1, refused + one.refusal)
    return TextCounts(
        answers=len(every),
        repeated=sum(one.repeated for one in every),
        empty=len(every) - len(said),
        refusals=refusals,
        lengths=_distribution(float(one.tokens) for one in said),
        given=_distribution(float(one.given) for one in said if one.given is not None),
        firsts=_distribution(one.first for one in said),
        speeds=_distribution(one.speed for one in said if one.speed is not None),
    )


def _distribution(values: Iterable[float]) -> Distribution:
    counted: dict[float, int] = {}
    for value in values:
        counted[value] = counted.get(value, 0) + 1
    return Distribution.of(counted)


def add_texts(one: TextCounts, other: TextCounts) -> TextCounts:
    if not other.answers:
        return one
    keys = one.refusals.keys() | other.refusals.keys()
    both = {key: (one.refusals.get(key, (0, 0)), other.refusals.get(key, (0, 0))) for key in keys}
    return TextCounts(
        one.answers + other.answers,
        one.repeated + other.repeated,
        one.empty + other.empty,
        {key: (this[0] + that[0], this[1] + that[1]) for key, (this, that) in both.items()},
        merge((one.lengths, other.lengths)),
        merge((one.given, other.given)),
        merge((one.firsts, other.firsts)),
        merge((one.speeds, other.speeds)),
    )


def make_text_tests(allowed: TextTolerance) -> dict[str, RateTest | ShareTest]:
    """Make the tests by name. The first one has fewest answers: those that both versions searched for the same
    phrases."""
    rates = {
        REFUSALS: RateTest(allowed.refusals),
        REPETITIONS: RateTest(allowed.repetitions),
        EMPTY: RateTest(allowed.empty),
    }
    lengths = {side + level: ShareTest(allowed.length) for level in LENGTH_LEVELS for side in (LONGER, SHORTER)}
    paces = {name: ShareTest(LATENCY_SLACK) for name in (*FIRST_TOKEN, *SPEED)}
    return {**rates, **lengths, **paces}


def find_text_thresholds(allowed: TextTolerance, past: TextCounts) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield by name of a test the thresholds for the old and the new version. Tests without enough data are left
    out."""
    for lengths, end in ((past.lengths, ""), (past.given, GIVEN)):
        if lengths.total >= FEWEST:
            for name, level in LENGTH_LEVELS.items():
                value = lengths.quantile(level) or 0.0
                yield LONGER + name + end, (value, value)
                yield SHORTER + name + end, (value, value)
    if past.firsts.total >= FEWEST:
        for name, level in FIRST_TOKEN.items():
            usual = past.firsts.quantile(level) or 0.0
            yield name, (usual, allowed_delay(usual, allowed.first_token))
    if past.speeds.total >= FEWEST:
        for name, level in SPEED.items():
            usual = past.speeds.quantile(level) or 0.0
            yield name, (usual, allowed_speed(usual, allowed.speed))


def count_text_block(
    thresholds: Mapping[str, tuple[float, float]], old: TextCounts, new: TextCounts
) -> Iterator[tuple[str, Counts]]:
    """Yield the counts of a block by name of the test; tests without thresholds have none."""
    yield REFUSALS, _refusals(old, new)
    yield REPETITIONS, (old.answers, old.repeated, new.answers, new.repeated)
    yield EMPTY, (old.answers, old.empty, new.answers, new.empty)
    stated = all(one.given.total == one.lengths.total > 0 for one in (old, new))
    for level in LENGTH_LEVELS:
        for side in (LONGER, SHORTER):
            name = side + level
            if stated and name + GIVEN in thresholds:
                yield name, _count_beyond(thresholds[name + GIVEN], old.given, new.given, side == LONGER)
            elif name in thresholds:
                yield name, _count_beyond(thresholds[name], old.lengths, new.lengths, side == LONGER)
    for name in FIRST_TOKEN:
        if name in thresholds:
            yield name, _count_beyond(thresholds[name], old.firsts, new.firsts, True)
    for name in SPEED:
        if name in thresholds:
            yield name, _count_beyond(thresholds[name], old.speeds, new.speeds, False)


def _refusals(old: TextCounts, new: TextCounts) -> Counts:
    """Count refusals by the list of phrases that most answers of the new version were searched for. Answers that were
    searched for other phrases are no evidence."""
    key = max(new.refusals, key=lambda one: (new.refusals[one][0], one), default=None)
    if key is None:
        only = next(iter(old.refusals.values()), (0, 0)) if len(old.refusals) == 1 else (0, 0)
        return (*only, 0, 0)
    if old.answers and key not in old.refusals:
        return (0, 0, 0, 0)
    return (*old.refusals.get(key, (0, 0)), *new.refusals[key])


def _count_beyond(thresholds: tuple[float, float], old: Distribution, new: Distribution, above: bool) -> Counts:
    if above:
        return old.total, old.above(thresholds[0]), new.total, new.above(thresholds[1])
    return old.total, old.below(thresholds[0]), new.total, new.below(thresholds[1])
