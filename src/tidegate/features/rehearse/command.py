"""``rehearse``: runs a rollout many times on a virtual clock, with random requests and the real alarms."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from tidegate.cli import draw, plot_files
from tidegate.cli.output import AsJson, console, plot_width, print_note
from tidegate.cli.plot_shapes import BarPlot, CurvePlot
from tidegate.cli.spec_file import SpecPath
from tidegate.cli.tables import Table, number
from tidegate.domain.errors import Invalid
from tidegate.features.rehearse import baseline_options
from tidegate.features.rehearse.promise import VersionFault, expectations
from tidegate.features.rehearse.rehearsal import rehearsed_faults, spec_scenario
from tidegate.features.rehearse.rehearsal.rehearsal import Rehearsal, RunSummary, Scenario, count_runs, rehearse
from tidegate.features.rehearse.rehearsal.run_statistics import Proportion
from tidegate.features.rehearse.rehearsed_evidence import summary_tables
from tidegate.spec.units import duration

RUNS, RUNS_WITH_EVIDENCE = 1_000, 100
"""By default. A rollout whose versions are compared takes up to seconds of processor time."""
HISTOGRAM_ROWS, WIDTH, BESIDE = 16, 48, 22
"""Rows of the histogram in the terminal, and characters of its longest bar."""


def rehearse_spec(
    spec_file: SpecPath,
    *,
    rps: baseline_options.Rps,
    fault: baseline_options.Fault = None,
    runs: Annotated[
        int | None,
        typer.Option(
            help="Number of rollouts with the fault, and as many without; 1000 by default, with evidence 100.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed draws the same requests.")] = 1,
    usual: baseline_options.Usual = None,
    startup: baseline_options.Startup = "30s",
    plot: baseline_options.Plot = None,
    as_json: AsJson = False,
) -> None:
    """Rehearse a rollout with a bad version, many times.

    Shows how reliably and how soon it is rolled back.

    Runs the server's own state machine, alarms and comparison of the two versions on a virtual clock, with random
    requests.

    \b
    Examples:
      tidegate rehearse fraud.yaml --rps 40 --fault error-rate=5%
      tidegate rehearse fraud.yaml --rps 40 --fault latency=+80ms --usual p50=12ms --usual p99=40ms
      tidegate rehearse fraud.yaml --rps 40 --fault failed-start --runs 100 --json
      tidegate rehearse guarded.yaml --rps 40 --fault wrong-predictions=20%
    """
    plot_files.check_path(plot)
    given = baseline_options.load_spec_with_baseline(spec_file, usual)
    what = expectations.parse_fault(fault or ())
    rehearsed_faults.check_faults(what, given.baseline, given.wish)
    scenario = spec_scenario.make_scenario(given.wish, rps, given.baseline, duration(startup, ("--startup",)))
    if runs is None:
        runs = RUNS if given.wish.deployment.evidence is None else RUNS_WITH_EVIDENCE
    found = _rehearse_with_progress(scenario, what, runs, seed, quiet=as_json)
    if plot is not None:
        plot_files.write_plot(plot, f"Rehearsal of {given.wish.endpoint}", _plot_figures(found))
        print_note(f"drawn: {plot}")
    if as_json:
        print(json.dumps({**asdict(found), "assumed": given.assumed}))
        return
    show(found, console())
    if given.assumed:
        print_note(given.assumed)


def _rehearse_with_progress(
    scenario: Scenario, what: VersionFault, runs: int, seed: int, *, quiet: bool
) -> Rehearsal:
    screen = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True, disable=quiet or not screen.is_terminal) as bar:
        task = bar.add_task("rehearsing", total=count_runs(what, runs))
        return rehearse(scenario, what, runs=runs, seed=seed, done=lambda count: bar.update(task, completed=count))


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
        for part in () if one is None else summary_tables(one.evidence, found.shares, whose):
            screen.print(part)
    if found.evidence:
        screen.print()
    for said in found.evidence:
        screen.print(said)
    for name in found.untouched:
        screen.print(f"{name} was left out: the rehearsal draws no values for it, so it stayed OK")
    screen.print(f"a successful rollout takes {draw.format_duration(found.seconds)}")


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


def _plot_figures(found: Rehearsal) -> list[BarPlot | CurvePlot]:
    one = found.faulty if found.faulty is not None and found.faulty.back.count else found.healthy
    if one.requests is None or one.seconds is None:
        raise Invalid("no run rolled back, so there is nothing to plot: leave --plot out, or give another --fault")
    of = f"{one.back.count} of {one.back.of} rollouts rolled back"
    requests = [(one.requests.p50, "50 %"), (one.requests.p95, "95 %")]
    seconds = [(one.seconds.p50, "50 %"), (one.seconds.p95, "95 %")]
    return [
        plot_files.histogram(
            of, "requests of the new version until then", "rollouts", one.each_requests, requests
        ),
        plot_files.histogram("When", "seconds since the first shift", "rollouts", one.each_seconds, seconds),
    ]
