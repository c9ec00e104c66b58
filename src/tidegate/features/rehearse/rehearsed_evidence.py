"""What the evidence said in rehearsed rollouts, as tables."""

from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

from tidegate.cli.draw import format_duration
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.domain.finding import Finding
from tidegate.features.rehearse.rehearsal.stage_findings import (
    REPLAY_STAGE,
    ComparisonSpoke,
    EvidenceSummary,
    StageFinding,
)

FINDINGS = {
    Finding.PASS: "not worse",
    Finding.UNDECIDED: "not known yet",
    Finding.FAIL: "worse",
    Finding.NO_DATA: "no data",
}
MOST_TESTS = 4
"""Tests of a comparison that are named."""


def summary_tables(found: EvidenceSummary, shares: Sequence[float], whose: str) -> Iterator[Text | Table | str]:
    """Of many rollouts. ``whose``: the versions that they were of."""
    if found.spoke:
        yield f"\ndifferences that evidence found in {whose}"
        spoke = Table(
            key("STAGE"), key("COMPARED"), *map(number, ("ROLLOUTS", "MEDIAN", "95 % WITHIN")), sentence("BY")
        )
        for one in found.spoke:
            after = [_after(one.stage, seconds) for seconds in (one.p50, one.p95)]
            spoke.add_row(
                name_stage(one.stage, shares),
                f"{one.comparison} ({one.variant})",
                f"{one.count:,}",
                *after,
                _name_tests(one.tests),
            )
        yield spoke
    if found.stages:
        yield f"\nverdict at the end of each stage, of {whose}"
        stages = Table(
            key("STAGE"),
            *map(number, ("NOT WORSE", "NOT KNOWN YET", "WORSE", "NO DATA")),
            sentence("WITHOUT ENOUGH DATA (ROLLOUTS)"),
        )
        for stage in found.stages:
            counts = [f"{stage.findings.get(name, 0):,}" for name in ("pass", "undecided", "fail", "no_data")]
            stages.add_row(name_stage(stage.stage, shares), *counts, _name_tests(stage.lacking))
        yield stages


def findings_table(
    findings: Sequence[StageFinding], spoke: Sequence[ComparisonSpoke], shares: Sequence[float]
) -> Table:
    """Of one rollout."""
    shown = Table(key("STAGE"), key("VERDICT"), number("AFTER"), key("SPOKE"), sentence("REASON"))
    for one in findings:
        names = sorted({f"{each.comparison} ({each.test})" for each in spoke if each.stage == one.stage})
        shown.add_row(
            name_stage(one.stage, shares),
            FINDINGS[one.finding],
            _after(one.stage, one.seconds),
            ", ".join(names) or "-",
            one.reason,
        )
    return shown


def name_stage(stage: int, shares: Sequence[float]) -> str:
    """``1 (10 %)``; ``copies`` for the stage before any traffic is shifted, ``replay`` for what is before that."""
    if stage == REPLAY_STAGE:
        return "replay"
    share = shares[stage] if stage < len(shares) else 100.0
    return "copies" if share == 0 else f"{stage + 1} ({share:g} %)"


def _after(stage: int, seconds: float) -> str:
    return "-" if stage == REPLAY_STAGE else format_duration(seconds)


def _name_tests(tests: Mapping[str, int]) -> str:
    ranked = sorted(tests.items(), key=lambda one: (-one[1], one[0]))
    named = ", ".join(f"{name} ({count:,})" for name, count in ranked[:MOST_TESTS])
    more = len(ranked) - MOST_TESTS
    return f"{named} and {more} more" if more > 0 else named
