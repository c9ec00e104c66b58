"""The sentences that a person is told of a comparison: why a version fails, what is open, what is missing. Pure.

Every number in them follows from what the record keeps. Each comparison is one clause that names what was compared
and of which variant; clauses are separated by semicolons."""

from collections.abc import Iterable, Sequence

from tidegate.domain.assurance import HarmResult
from tidegate.domain.evidence import (
    Comparison,
    ComparisonResult,
    EvidenceConfig,
    Finding,
    Wait,
)
from tidegate.features.evidence.bounds import LEVEL
from tidegate.features.evidence.comparisons import UNUSABLE, UNUSABLE_MORE
from tidegate.features.evidence.measures import format_difference
from tidegate.features.evidence.pairs import (
    DISTANCE,
    DOWN,
    FAILING,
    FAILING_OF,
    LAST_ROW,
    MOVED,
    ORDER,
    SLICE,
    SPREAD,
    TOP_BIAS,
    TOP_LEFT,
    UNUSABLE_OF,
    estimate,
    is_net,
    split_part,
    split_test,
)
from tidegate.features.evidence.texts import WORDS
from tidegate.features.evidence.waits import name_comparison
from tidegate.statistics.means import split_net

MOST_NAMED = 4
"""Further columns or slices that a sentence names."""
MOST_SAID = 3
"""Tests of a comparison that a sentence names."""
AT_RATE = "at the present rate"


def describe_failure(results: Iterable[ComparisonResult], config: EvidenceConfig) -> str:
    """Describe the comparisons that failed, those with most evidence first."""
    failed = sorted((one for one in results if one.finding is Finding.FAIL), key=lambda one: -one.evidence)
    return "; ".join(f"{name_comparison(one)}: {_describe_difference(one, config)}" for one in failed)


def describe_open(results: Sequence[ComparisonResult], rising: bool, waits: Iterable[Wait]) -> str:
    """Describe the comparisons that are undecided, or, if ``rising``, those that may be about to fail."""
    chosen = [one for one in results if (one.rising if rising else one.finding is Finding.UNDECIDED)]
    needs = {one.what: _describe_need(one, "about ") for one in waits}
    said = "; ".join(
        f"{(name := name_comparison(one))}: {_describe_measured(one, rising)}"
        + (f", to be decided in {needs[name]}" if needs.get(name) else "")
        for one in chosen
    )
    return f"{'may be worse' if rising else 'not known yet whether it is worse'}: {said}"


def _describe_measured(result: ComparisonResult, rising: bool) -> str:
    """Describe the tests that lie above their tolerance, or that are not proved, those with most evidence first:
    ``errors +0.021 (-0.003 to +0.045, tolerance 0.0005)``."""
    chosen = [one for one in result.measurements if one.rising or (not rising and one.finding is not Finding.PASS)]
    chosen = sorted(chosen or result.measurements, key=lambda one: (-one.rising, -one.evidence))
    said = [
        f"{one.test} {format_difference(one.estimate)} ({format_difference(one.low)} to"
        f" {format_difference(one.high)}, tolerance {one.tolerance:g})"
        for one in chosen[:MOST_SAID]
    ]
    more = len(chosen) - MOST_SAID
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")


def describe_pass(few: bool) -> str:
    """``few``: it rests on all of the few requests that come."""
    if few:
        said = f"each difference, and its {LEVEL:.0%} bound where more requests come,"
    else:
        said = f"the {LEVEL:.0%} bound of each difference"
    return f"not worse: {said} is within its tolerance"


def describe_lack(results: Iterable[ComparisonResult], config: EvidenceConfig, waits: Iterable[Wait]) -> str:
    """Describe what the stage lacks: of each comparison how many requests, and how long they take to come."""
    needs = {one.what: f"needs {_describe_need(one)}" for one in waits}
    lacking = [
        f"{name_comparison(one)}: {_describe_hindrance(one, config) or needs[name_comparison(one)]}"
        for one in results
        if one.finding is Finding.NO_DATA
    ]
    return f"too little is known: {'; '.join(lacking)}" if lacking else "nothing to compare"


def _describe_need(one: Wait, about: str = "") -> str:
    if not one.missing:
        return ""
    time = "" if one.seconds is None else f", {describe_seconds(one.seconds)} {AT_RATE}"
    return f"{about}{one.missing}{time}"


def describe_seconds(seconds: int) -> str:
    """Describe a span of time that is not known exactly."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"about {round(seconds / size):,} {unit}"
    return f"about {seconds} s"


def _describe_hindrance(one: ComparisonResult, config: EvidenceConfig) -> str:
    """Describe why no further requests help; empty if they do."""
    if one.never or not one.complete:
        return one.never
    found = _describe_difference(one, config) if one.pairs[0] else "none of them can be used"
    return f"all the requests that come were compared, and no others come; {found}"


def describe_basis(results: Sequence[ComparisonResult]) -> str:
    """Describe what a verdict rests on, as the end of a sentence: how few different requests a pass of a complete
    comparison has, and the size of one unit in the predictions' own unit, where they are amounts. The unit is that of
    the output that the result's test uses."""
    said = "".join(
        f"; {one.comparison} rests on {one.compared} different requests, as no others come"
        for one in results
        if one.complete and one.needed and one.finding is not Finding.NO_DATA
    )
    for one in results:
        if any(one.questions):
            bias = (
                "" if one.first is None else f", and chose the answer that it was shown first in {one.first:.0%}"
            )
            said += f"; the judge was asked {one.questions[0]:,} of at most {one.questions[1]:,} questions{bias}"
        labels, enough = one.labels
        if enough and (labels or any(one.questions)):
            decides = "people and not the judge decide" if labels >= enough else f"people decide from {enough} on"
            said += f"; {labels:,} pairs have a person's label, and {decides}"
    found = [(one.variant, split_part(one.test)[0], one.unit) for one in results if one.unit is not None]
    several = len({variant for variant, _, _ in found}) > 1
    for variant, part, size in found:
        of = f" of {part}" if part and part != LAST_ROW else ""
        said += f"; one unit is {size:.3g} of the prediction{of}" + (f" (variant {variant})" if several else "")
    return said


def describe_harms(harms: Iterable[HarmResult]) -> str:
    """Describe what is ruled out, or what is missing, as the end of a sentence."""
    lacking = [one for one in harms if not one.excluded]
    if not lacking:
        return "every harm that is named is ruled out"
    said = "; ".join(f"{one.harm} of variant {one.variant}: {describe_harm(one)}" for one in lacking)
    return f"harm is not ruled out yet: {said}"


def describe_harm(one: HarmResult) -> str:
    """Describe what is known of one harm: that it is ruled out, or what that takes."""
    if one.excluded:
        return "ruled out"
    if one.needed is None:
        return f"not yet, after {one.count:,}" if one.count else "no data yet"
    if one.seconds_left is None:
        return f"no data yet; needs about {one.needed:,} requests"
    return f"not yet: needs about {one.needed:,} more, {describe_seconds(one.seconds_left)}"


# --- differences ---


def _describe_difference(one: ComparisonResult, config: EvidenceConfig) -> str:
    """Describe in which way the new version is worse, by the counts of the test that shows it."""
    if one.comparison is Comparison.PAIRED:
        what = _describe_net(one, config) if is_net(one.test) else _describe_paired(one, config)
    elif one.comparison is Comparison.FEATURES:
        number, total, _ = one.pairs
        what = f"column {one.test} has another value in {total / max(1, number):.1%} of {number:,} requests"
        what += f" (tolerance {config.features.rows:.1%})"
    elif one.comparison is Comparison.JUDGE:
        alike, worse, better = (round(part) for part in split_net(one.pairs))
        who = "labelled pairs of answers people prefer" if one.by_people else "pairs of answers the judge prefers"
        what = f"of {alike + worse + better:,} {who} {worse:,} of the old version and"
        what += f" {better:,} of the new one (tolerance {config.judge:.1%} of the pairs)"
    else:
        what = _describe_shares(one, *_name_hits(one, config))
    if one.also:
        more = len(one.also) - MOST_NAMED
        what += f", also {', '.join(one.also[:MOST_NAMED])}" + (f" and {more} more" if more > 0 else "")
    return what


def _describe_shares(one: ComparisonResult, what: str, hits: str, tolerance: float | None) -> str:
    """``tolerance`` None: the hits of the new version are those beyond a threshold that has it in it already."""
    old_n, old_k, new_n, new_k = one.counts
    old, new = old_k / max(1, old_n), new_k / max(1, new_n)
    tolerated = "" if tolerance is None else f", tolerance {tolerance * 100:.3g}%"
    expected = f"{old:.2%} expected from the old version's {old_n:,}"
    return f"{new:.2%} of the new version's {new_n:,} {what} {hits} ({expected}{tolerated})"


def _name_hits(one: ComparisonResult, config: EvidenceConfig) -> tuple[str, str, float | None]:
    """Return what is counted, which of it are hits, and the tolerance."""
    match one.comparison:
        case Comparison.ERRORS:
            return "requests", "failed", config.errors
        case Comparison.LATENCY:
            limit = f"{_name_level(one.test)} by more than {config.latency:.0%}"
            return "requests", f"exceeded the old version's {limit}", None
        case Comparison.PREDICTIONS if one.test == UNUSABLE:
            return "answers", "have no finite number", UNUSABLE_MORE
        case Comparison.PREDICTIONS:
            side, level = one.test.split()
            return "predictions", f"lie {side} the old version's {_name_level(level)}", config.predictions
    if one.test in WORDS:
        return "answers", WORDS[one.test], getattr(config.text, one.test)
    kind, level = one.test.rsplit(" ", 1)
    named = f"the old version's {_name_level(level)}"
    match kind:
        case "first token":
            limit = f"{config.text.first_token:.0%}"
            return "answers", f"have their first text later than {named} by more than {limit}", None
        case "speed":
            return "answers", f"are written slower than {named} by more than {config.text.speed:.0%}", None
    return "answers", f"are {kind} than {named}", config.text.length


def _name_level(level: str) -> str:
    return "median" if level == "p50" else level


def _describe_net(one: ComparisonResult, config: EvidenceConfig) -> str:
    alike, worse, better = (round(part) for part in split_net(one.pairs))
    bad = "failed" if one.test.startswith(FAILING) else "were answered without a finite number"
    slice = one.test.removeprefix(FAILING_OF).removeprefix(UNUSABLE_OF).removeprefix(SLICE)
    of = f" with {slice}" if slice not in (FAILING, UNUSABLE) else ""
    tolerance = config.paired.limits(amounts=one.unit is not None).failed
    both = f"{bad} on the new version only, {better:,} on the old one only (tolerance {tolerance:.1%})"
    return f"{worse:,} of {alike + worse + better:,} copied requests{of} {both}"


def _describe_paired(one: ComparisonResult, config: EvidenceConfig) -> str:
    value, requests = estimate(one.test, one.pairs), f"{one.pairs[0]:,} requests"
    part, name = split_part(one.test)
    of, lower = f" of {part}" if part else "", split_test(one.test)[1] == DOWN
    limit = _find_limit(one.test, config, one.unit is not None)
    apart = _describe_size(value, one.unit)
    in_units = f" ({one.test}, tolerance {_describe_size(limit, one.unit)})"
    share = f" ({one.test}, tolerance {limit:.0%})"
    moves = f"are {apart} {'lower' if lower else 'higher'} on average"
    match name:
        case _ if name.startswith(SLICE):
            said = (
                f"of {requests} with {name.removeprefix(SLICE)}, the new version's predictions {moves}{in_units}"
            )
        case _ if name == DISTANCE:
            said = f"the versions' predictions{of} differ by {apart} on average, over {requests}{in_units}"
        case _ if name == MOVED:
            said = (
                f"the versions' predictions{of} differ by more than one unit in {value:.1%} of {requests}{share}"
            )
        case _ if name == SPREAD:
            way = "nearer to" if lower else "farther from"
            where = f"{way} the old version's median on average, over {requests}"
            said = f"the new version's predictions{of} lie {apart} {where}{in_units}"
        case _ if name == TOP_LEFT:
            highest = f"the old version's highest 5% ({requests})"
            said = f"{value:.1%} of {highest} are not among the new version's{share}"
        case _ if name == TOP_BIAS:
            highest = f"the old version's highest 5% ({requests})"
            said = f"of {highest}, the new version's predictions {moves}{in_units}"
        case _ if name == ORDER:
            said = (
                f"the versions put {value:.1%} of {one.pairs[0]:,} pairs of requests{of} in opposite orders{share}"
            )
        case _:
            said = f"the new version's predictions{of} {moves}, over {requests}{in_units}"
    return said


def _describe_size(value: float, unit: float | None) -> str:
    """Describe a difference in units; of amounts in the prediction's own unit, too."""
    return f"{value:.3g} in log-odds" if unit is None else f"{value * unit:.3g} ({value:.3g} units)"


def _find_limit(test: str, config: EvidenceConfig, amounts: bool) -> float:
    limits = config.paired.limits(amounts)
    if test.startswith(SLICE):
        return limits.slice
    found: float = getattr(limits, split_part(test)[1].replace(SPREAD, "bias").replace(" ", "_"))
    return found
