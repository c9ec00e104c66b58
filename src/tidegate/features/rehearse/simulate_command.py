"""``simulate``: simulates the rollout of a spec file on a virtual clock, with the server's own state machine."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.artifacts import prepare
from tidegate.cli.output import AsJson, console, plot_width, print_note
from tidegate.cli.spec_file import SpecPath, read_spec
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.domain.errors import Invalid
from tidegate.domain.rollout import Phase
from tidegate.features.rehearse import baseline_options
from tidegate.features.rehearse.promise import expectations
from tidegate.features.rehearse.rehearsal import rehearsed_faults, spec_scenario
from tidegate.features.rehearse.rehearsal.simulation import Timeline, TimelineMoment, simulate
from tidegate.features.rehearse.rehearsed_evidence import findings_table
from tidegate.spec.units import duration

WIDTH, HEIGHT, BESIDE = 64, 8, 8
"""Most columns of the plot, its rows, and the columns of its labels."""


def simulate_spec(
    spec_file: SpecPath,
    *,
    alarm: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY@WHEN", help="Fire an alarm at stage=N (one second into it) or at a time."),
    ] = None,
    rps: Annotated[
        float | None, typer.Option(help="Draw so many requests per second; alarms and evidence judge them.")
    ] = None,
    fault: baseline_options.Fault = None,
    usual: baseline_options.Usual = None,
    seed: Annotated[int, typer.Option(help="Random seed of the requests.")] = 1,
    startup: Annotated[str, typer.Option(help="How long an instance takes to start.")] = "30s",
    as_json: AsJson = False,
) -> None:
    """Show what a spec's rollout would do, and when.

    Needs no server and does not wait.

    The serving version is assumed to be as large as the new one. Without --rps, alarms fire only as given by --alarm,
    and evidence is assumed to find nothing worse.

    \b
    Examples:
      tidegate simulate fraud.yaml
      tidegate simulate fraud.yaml --alarm errors@stage=2
      tidegate simulate fraud.yaml --alarm slow@90m --json
      tidegate simulate fraud.yaml --rps 40 --fault error-rate=5%
    """
    if rps is not None:
        if alarm:
            raise Invalid(
                "--alarm and --rps: give either alarms that fire, or requests that they are computed from"
            )
        _simulate_requests(spec_file, rps, fault or (), usual, seed, duration(startup, ("--startup",)), as_json)
        return
    if fault or usual:
        raise Invalid("--fault and --usual are about requests: give --rps, too")
    _simulate_alarms(spec_file, alarm or (), duration(startup, ("--startup",)), as_json)


def _simulate_alarms(spec_file: Path, alarm: Sequence[str], startup: float, as_json: bool) -> None:
    """The rollout without requests."""
    loaded = read_spec(spec_file)
    data = prepare(loaded, spec_file.parent, must_exist=False)
    wish = loaded.wish(datetime.now(UTC), data)
    names = spec_scenario.alarm_names(data, wish)
    timeline = simulate(
        *spec_scenario.make_versions(wish),
        wish.deployment,
        script=[spec_scenario.parse_alarm_turn(text, names, wish) for text in alarm],
        startup=startup,
    )
    if alarm and timeline.phase is Phase.SUCCEEDED:
        stages = sum(e.kind == f"rollout.{Phase.ACTIVATING_TRAFFIC}" for m in timeline.moments for e in m.events)
        over = f"it has {stages} stage(s) and takes {draw.format_elapsed(timeline.seconds)}"
        print_note(f"no --alarm fired before the rollout ended: {over}")
    if wish.deployment.evidence is not None:
        print_note("evidence is assumed to find nothing worse: --rps NUMBER draws requests, by which it judges")
    if as_json:
        print(json.dumps(spec_scenario.render_timeline(timeline)))
    else:
        _show(timeline)


def _simulate_requests(
    spec_file: Path,
    rps: float,
    faults: Sequence[str],
    usual: Sequence[str] | None,
    seed: int,
    startup: float,
    as_json: bool,
) -> None:
    """One rollout with drawn requests, as ``rehearse`` runs many."""
    given = baseline_options.load_spec_with_baseline(spec_file, usual)
    what = expectations.parse_fault(faults)
    rehearsed_faults.check_faults(what, given.baseline, given.wish)
    scenario = spec_scenario.make_scenario(given.wish, rps, given.baseline, startup)
    found = spec_scenario.rehearse_once(scenario, what, seed)
    if as_json:
        print(json.dumps({**spec_scenario.render_rehearsed(found), "assumed": given.assumed}))
        return
    _show(found.timeline)
    out = console()
    if found.run.findings:
        out.print("\nevidence by stage")
        out.print(findings_table(found.run.findings, found.run.spoke, found.shares))
    for said in found.evidence:
        out.print(said)
    if given.assumed:
        print_note(given.assumed)


def _show(timeline: Timeline) -> None:
    out = console()
    shown = Table(number("AFTER"), key("PHASE"), *map(number, ("NEW SHARE", "OLD", "NEW")), sentence("WHAT"))
    for moment in timeline.moments:
        for event in moment.events:
            shown.add_row(
                draw.format_elapsed(moment.at),
                draw.status_text(moment.phase),
                f"{moment.share / 100:g} %",
                str(moment.old_ready),
                str(moment.new_ready),
                event.message,
            )
    out.print(shown)
    # In a pipe the table says it all.
    if (width := plot_width(out, WIDTH, BESIDE)) is not None:
        out.print()
        out.print(*plot_share(timeline.moments, timeline.seconds, width), sep="\n")
    ending = f" after {draw.format_elapsed(timeline.seconds)}" + (
        f": {timeline.reason}" if timeline.reason else ""
    )
    out.print(Text.assemble("\n", draw.status_text(str(timeline.phase)), ending))


def plot_share(moments: Sequence[TimelineMoment], seconds: float, width: int = WIDTH) -> list[Text]:
    """The new version's share over time, as rows of blocks."""
    shares = [_share_at(moments, seconds * (column + 0.5) / width) for column in range(width)]
    rows = []
    for row in range(HEIGHT, 0, -1):
        label = {HEIGHT: "100 %", HEIGHT // 2: "50 %"}.get(row, "")
        cells = "".join(draw.format_block(share * HEIGHT / 10_000 - (row - 1)) for share in shares)
        rows.append(Text.assemble(f"{label:>6} │", (cells, draw.NEW)))
    rows.append(Text(f"{'0 %':>6} └{'─' * width}"))
    end = draw.format_elapsed(seconds)
    rows.append(Text(f"{'':7} 0:00:00{end:>{width - 7}}"))
    return rows


def _share_at(moments: Sequence[TimelineMoment], at: float) -> int:
    return next((moment.share for moment in reversed(moments) if moment.at <= at), 0)
