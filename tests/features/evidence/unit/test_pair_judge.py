"""Pairs of predictions and of features: what is a pass, what a failure, and what is no data."""

import math
import random
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from tidegate.domain.evidence import NO_SUMS, Comparison, EvidenceBlock, EvidenceConfig, Finding
from tidegate.domain.pairs import FeatureRow, Pair
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.judge import begin, fold, judge, recompute
from tidegate.features.evidence.ledger import EvidenceLedger, Side
from tidegate.features.evidence.pairs import MOST_SLICES, OF_SCORES

CONFIG = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.PAIRED, Comparison.FEATURES))
NAMES = ("0", "1")
PASS, FAIL, NO_DATA, UNDECIDED = Finding

Change = Callable[[Pair, int], Pair | None]


def pair(drawn: random.Random) -> Pair:
    logit = drawn.gauss(-2, 1)
    scores = [1 / (1 + math.exp(-one)) for one in (logit, logit + drawn.gauss(0, 0.1))]
    row = (drawn.gauss(0, 1), drawn.gauss(5, 2))
    features = (FeatureRow("prepare", NAMES, row, NAMES, row),)
    return Pair(scores[0], scores[1], drawn.getrandbits(60) + 1, traced=True, features=features)


def ledger(change: Change, config: EvidenceConfig = CONFIG, seconds: int = 30) -> EvidenceLedger:
    """The copies-only stage of a rollout."""
    drawn, found = random.Random(3), EvidenceLedger(config, ("main",), 0)
    number, per_second = 0, 10
    for second in range(seconds):
        pairs = list[Pair]()
        for _ in range(per_second):
            number += 1
            if (one := change(pair(drawn), number)) is not None:
                pairs.append(one)
        found.add(second, Side.OLD, "main", SideCounts(requests=per_second))
        found.add_pairs(second, "main", pairs)
        found.advance(second + 1)
    return found


def findings(found: EvidenceLedger) -> tuple[Finding, Finding, Finding]:
    """Of the whole, of paired predictions and of features."""
    results = {one.comparison: one.finding for one in found.verdict.results}
    return found.verdict.finding, results[Comparison.PAIRED], results[Comparison.FEATURES]


def every(number: int, change: Callable[[Pair], Pair]) -> Change:
    return lambda one, at: change(one) if at % number == 0 else one


def without_stages(one: Pair) -> Pair:
    return replace(one, features=())


def another_width(one: Pair) -> Pair:
    (row,) = one.features
    return replace(one, features=(replace(row, new_names=(*NAMES, "2"), new=(*row.new, 0.0)),))


TABLE: dict[str, tuple[Change, tuple[Finding, Finding, Finding]]] = {
    "equal": (lambda one, _: one, (UNDECIDED, UNDECIDED, UNDECIDED)),
    "no pair": (lambda one, _: None, (NO_DATA, NO_DATA, NO_DATA)),
    "fewer than the minimum": (lambda one, at: one if at % 4 == 0 else None, (NO_DATA, NO_DATA, NO_DATA)),
    "no new prediction": (lambda one, _: replace(one, new=None), (FAIL, FAIL, UNDECIDED)),
    "no old prediction": (lambda one, _: replace(one, old=None), (NO_DATA, NO_DATA, UNDECIDED)),
    "not a number": (lambda one, _: replace(one, new=math.nan), (FAIL, FAIL, UNDECIDED)),
    "infinite": (lambda one, _: replace(one, new=math.inf), (FAIL, FAIL, UNDECIDED)),
    "one of five without a number": (every(5, lambda one: replace(one, new=None)), (FAIL, FAIL, UNDECIDED)),
    "copies without an answer": (lambda one, _: replace(one, new=None, lost=True), (NO_DATA, NO_DATA, UNDECIDED)),
    "one of five copies lost": (
        every(5, lambda one: replace(one, new=None, lost=True)),
        (NO_DATA, NO_DATA, UNDECIDED),
    ),
    "one of twenty copies lost": (
        every(20, lambda one: replace(one, new=None, lost=True)),
        (UNDECIDED, UNDECIDED, UNDECIDED),
    ),
    "one of five without a number on both": (
        every(5, lambda one: replace(one, old=None, new=math.nan)),
        (UNDECIDED, UNDECIDED, UNDECIDED),
    ),
    "one of five fails on both": (
        every(5, lambda one: replace(one, old=None, new=None, old_failed=True, failed=True)),
        (UNDECIDED, UNDECIDED, UNDECIDED),
    ),
    "one of ten fails on the old version": (
        every(10, lambda one: replace(one, old=None, old_failed=True)),
        (UNDECIDED, UNDECIDED, UNDECIDED),
    ),
    "one request again and again": (lambda one, _: replace(one, key=7), (NO_DATA, PASS, NO_DATA)),
    "one old score": (lambda one, _: replace(one, old=0.3), (NO_DATA, NO_DATA, UNDECIDED)),
    "no outputs of stages": (lambda one, _: without_stages(one), (NO_DATA, UNDECIDED, NO_DATA)),
    "one of five without outputs": (every(5, without_stages), (NO_DATA, UNDECIDED, NO_DATA)),
    "another number of columns": (lambda one, _: another_width(one), (NO_DATA, UNDECIDED, NO_DATA)),
    "nobody was asked for outputs": (lambda one, _: replace(one, traced=False), (NO_DATA, UNDECIDED, NO_DATA)),
    "one of ten fails on the new version": (
        every(10, lambda one: replace(one, new=None, failed=True)),
        (FAIL, FAIL, UNDECIDED),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_missing_pairs_are_never_a_pass_and_never_a_failure(case: str) -> None:
    change, expected = TABLE[case]
    found = ledger(change)
    assert findings(found) == expected
    assert recompute(CONFIG, ("main",), found.blocks.values(), 0) == found.verdict


def test_late_pairs_count_as_nothing() -> None:
    found = ledger(lambda one, _: None)
    found.add_pairs(3, "main", [pair(random.Random(1)) for _ in range(500)])
    found.advance(40)
    assert findings(found)[1] is NO_DATA


def test_with_copies_only_no_requests_of_the_new_version_are_needed_but_later_they_are() -> None:
    found = ledger(lambda one, _: one)
    assert found.verdict.finding is UNDECIDED
    found.enter(1, found.through)
    assert found.verdict.finding is NO_DATA
    assert (
        "errors of variant main: needs 100 more requests of the old version (0 of 100 so far)"
        in found.verdict.reason
    )
    plain = ledger(lambda one, _: one, replace(CONFIG, copies=0))
    assert plain.verdict.finding is NO_DATA


def test_a_reason_names_the_kind_and_says_how_much() -> None:
    shifted = ledger(
        lambda one, _: replace(one, new=(one.new or 0.0) / 4), replace(CONFIG, compare=(Comparison.PAIRED,))
    )
    assert shifted.verdict.finding is FAIL
    assert shifted.verdict.reason.startswith("paired of variant main: ")
    assert ", tolerance " in shifted.verdict.reason


@pytest.mark.parametrize("after", [0, 30, 400], ids=["still there", "just over", "long over"])
@pytest.mark.parametrize("good", [0, 100, 400], ids=["from the start", "later", "much later"])
def test_a_reason_has_the_figures_that_decided(good: int, after: int) -> None:
    """Those of a fault, and not those of the good time before it and after it."""
    bad = 40

    def shift(one: Pair, at: int) -> Pair:
        faulty = good * 10 < at <= (good + bad) * 10
        return replace(one, new=(one.new or 0.0) / 4) if faulty else one

    only = replace(CONFIG, compare=(Comparison.PAIRED,))
    found = ledger(shift, only, seconds=good + bad + after)
    assert found.verdict.finding is FAIL
    said = r"(?:by|are|in|put|:) ([0-9.]+)(?:%| in log-odds).*?tolerance ([0-9.]+)"
    value, tolerance = re.findall(said, found.verdict.reason)[0]
    assert float(value) > float(tolerance)


def test_slices_beyond_the_most_are_not_looked_at() -> None:
    config = replace(CONFIG, compare=(Comparison.PAIRED,), slices=("client",))
    drawn = random.Random(1)
    found = ledger(
        lambda one, _: replace(one, slices=(("client", str(drawn.randrange(500))), ("country", "IN"))), config
    )
    seen = {key for block in found.blocks.values() for key in block.sums if "/failing slice " in key}
    assert len(seen) == MOST_SLICES
    assert not any("country" in key for key in seen)
    assert found.verdict.finding is UNDECIDED


def test_sums_that_make_no_sense_are_no_evidence() -> None:
    config = replace(CONFIG, compare=(Comparison.PAIRED,))
    state = begin(config, ("main",))
    for sums in ((1, 50.0, 1.0), (-5, 0.0, 0.0), (1, math.nan, 0.0), (1, 0.5, 9.0)):
        block = EvidenceBlock(1, 1, 0, {}, {"main/paired/distance": sums, "main/paired/failing": sums})
        assert judge(fold(state, block)).results[0].evidence == 0


def test_a_seconds_pairs_wait_for_their_block() -> None:
    """The first pairs wait until the unit is known, and count then."""
    found = ledger(lambda one, _: one, seconds=OF_SCORES // 10 - 1)
    assert not any("distance" in key for block in found.blocks.values() for key in block.sums)
    more = ledger(lambda one, _: one, seconds=OF_SCORES // 10 + 1)
    counted = [block.sums.get("main/paired/distance", NO_SUMS)[0] for block in more.blocks.values()]
    assert counted[-2:] == [OF_SCORES, 10]
