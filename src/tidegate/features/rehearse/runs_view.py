"""Shows on the terminal the outcome of many rehearsed rollouts, with what the evidence said in them."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from tidegate.cli import draw, plot_files
from tidegate.cli.output import plot_width
from tidegate.cli.plot_shapes import BarPlot
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.domain.finding import Finding
from tidegate.features.rehearse.rehearsal.rehearsal import Rehearsal, RunSummary
from tidegate.features.rehearse.rehearsal.run_statistics import Proportion
from tidegate.features.rehearse.rehearsal.stage_findings import (
    REPLAY_STAGE,
    ComparisonSpoke,
    EvidenceSummary,
    StageFinding,
)

HISTOGRAM_ROWS, WIDTH, BESIDE = 16, 48, 22
"""Rows of the histogram in the terminal, and characters of its longest bar."""
FINDINGS = {
    Finding.PASS: "not worse",
    Finding.UNDECIDED: "not known yet",
    Finding.FAIL: "worse",
    Finding.NO_DATA: "no data",
}
MOST_TESTS = 4
"""Tests of a comparison that are named."""


def show(found: Rehearsal, screen: Console) -> None:
    """Print the outcome of bad and good versions."""
    if found.faulty is not None:
        for line in _describe_bad_versions(found, found.faulty):
            screen.print(line)
        if found.faulty.requests is not None and found.faulty.requests.most > 0:
            screen.print("\nrequests of a bad version until its rollback")
            _print_histogram(screen, found.faulty.each_requests)
        screen.print()
    back = found.healthy.back
    style = "" if back.share <= 0.01 else "bold red"
    screen.print(Text(f"good versions rolled back by mistake: {_format_part(back)}", style=style))
    for name, count in sorted(found.healthy.by_alarm.items()):
        screen.print(f"  by {name}: {count}")
    if found.healthy.held:
        screen.print(f"  held, for evidence or for a person: {found.healthy.held} of {found.runs}")
    for whose, one in (("bad versions", found.faulty), ("good versions", found.healthy)):
        for part in () if one is None else _summary_tables(one.evidence, found.shares, whose):
            screen.print(part)
    for name in found.untouched:
        screen.print(f"{name} was left out: the rehearsal draws no values for it, so it stayed OK")


def _describe_bad_versions(found: Rehearsal, one: RunSummary) -> Iterator[Text]:
    style = "green" if one.back.share >= 0.95 else "bold red"
    yield Text(f"bad versions rolled back: {_format_part(one.back)}", style=style)
    for cause, count in sorted(one.by_cause.items()):
        if cause != "Alarm":
            yield Text(f"  {cause}: {count}")
    for name, count in sorted(one.by_alarm.items()):
        yield Text(f"  by {name}: {count}")
    for stage, count in enumerate(one.by_stage):
        if count:
            yield Text(f"  in stage {stage + 1} ({found.shares[stage]:g} %): {count}")
    if one.held:
        yield Text(f"  held, for evidence or for a person: {one.held} of {found.runs}")
    if one.requests is None or one.seconds is None:
        return
    requests, seconds = one.requests, one.seconds
    yield Text(
        f"requests to a bad version: median {requests.p50:,.0f},"
        f" in 95 of 100 cases at most {requests.p95:,.0f}, maximum {requests.most:,.0f}"
    )
    yield Text(
        f"time from the first shift to the rollback: {draw.format_duration(seconds.p50)},"
        f" {draw.format_duration(seconds.p95)}, {draw.format_duration(seconds.most)}"
    )


def _print_histogram(screen: Console, values: Sequence[float]) -> None:
    width = plot_width(screen, WIDTH, BESIDE)
    if width is not None:
        screen.print(*histogram(values, width), sep="\n")
    else:
        screen.print(histogram_table(values))


def histogram_table(values: Sequence[float]) -> Table:
    edges, heights = plot_files.count_bins(values, HISTOGRAM_ROWS)
    shown = Table(*map(number, ("FROM", "TO", "RUNS")))
    for first, last, height in zip(edges, edges[1:], heights, strict=False):
        shown.add_row(f"{first:,.0f}", f"{last:,.0f}", f"{height:g}")
    return shown


def histogram(values: Sequence[float], width: int = WIDTH) -> Iterator[Text]:
    edges, heights = plot_files.count_bins(values, HISTOGRAM_ROWS)
    most = max(heights)
    for place, height in enumerate(heights):
        filled = "█" * round(width * height / most) or ("▏" if height else "")
        yield Text.assemble(f"{edges[place]:>12,.0f} │", (filled, draw.NEW), f" {height:g}" if height else "")
    yield Text(f"{edges[-1]:>12,.0f} ┘")


def _format_part(part: Proportion) -> str:
    between = f"between {part.low * 100:.3g} and {part.high * 100:.3g} %"
    return f"{part.count} of {part.of} ({part.share * 100:.3g} %; {between} with 95 % confidence)"


def _summary_tables(found: EvidenceSummary, shares: Sequence[float], whose: str) -> Iterator[Text | Table | str]:
    """Render the evidence of many rollouts as tables. ``whose``: the versions that they were of."""
    if found.spoke:
        yield f"\ndifferences that evidence found in {whose}"
        spoke = Table(
            key("STAGE"), key("COMPARED"), *map(number, ("ROLLOUTS", "MEDIAN", "95 % WITHIN")), sentence("BY")
        )
        for one in found.spoke:
            after = [_format_delay(one.stage, seconds) for seconds in (one.p50, one.p95)]
            spoke.add_row(
                _name_stage(one.stage, shares),
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
            stages.add_row(_name_stage(stage.stage, shares), *counts, _name_tests(stage.lacking))
        yield stages


def findings_table(
    findings: Sequence[StageFinding], spoke: Sequence[ComparisonSpoke], shares: Sequence[float]
) -> Table:
    """Render the evidence of one rollout as a table of its stages."""
    shown = Table(key("STAGE"), key("VERDICT"), number("AFTER"), key("SPOKE"), sentence("REASON"))
    for one in findings:
        names = sorted({f"{each.comparison} ({each.test})" for each in spoke if each.stage == one.stage})
        shown.add_row(
            _name_stage(one.stage, shares),
            FINDINGS[one.finding],
            _format_delay(one.stage, one.seconds),
            ", ".join(names) or "-",
            one.reason,
        )
    return shown


def _name_stage(stage: int, shares: Sequence[float]) -> str:
    """Name a stage: ``1 (10 %)``; ``copies`` for the stage before any traffic is shifted, ``replay`` for what is
    before that."""
    if stage == REPLAY_STAGE:
        return "replay"
    share = shares[stage] if stage < len(shares) else 100.0
    return "copies" if share == 0 else f"{stage + 1} ({share:g} %)"


def _format_delay(stage: int, seconds: float) -> str:
    return "-" if stage == REPLAY_STAGE else draw.format_duration(seconds)


def _name_tests(tests: Mapping[str, int]) -> str:
    ranked = sorted(tests.items(), key=lambda one: (-one[1], one[0]))
    named = ", ".join(f"{name} ({count:,})" for name, count in ranked[:MOST_TESTS])
    more = len(ranked) - MOST_TESTS
    return f"{named} and {more} more" if more > 0 else named


def plot(found: Rehearsal) -> list[BarPlot]:
    """Plot how many requests a version got until its rollback, and when that came; nothing if no run rolled back."""
    one = found.faulty if found.faulty is not None and found.faulty.back.count else found.healthy
    if one.requests is None or one.seconds is None:
        return []
    of = f"{one.back.count} of {one.back.of} rollouts rolled back"
    requests = [(one.requests.p50, "50 %"), (one.requests.p95, "95 %")]
    seconds = [(one.seconds.p50, "50 %"), (one.seconds.p95, "95 %")]
    return [
        plot_files.histogram(
            of, "requests of the new version until then", "rollouts", one.each_requests, requests
        ),
        plot_files.histogram("When", "seconds since the first shift", "rollouts", one.each_seconds, seconds),
    ]
