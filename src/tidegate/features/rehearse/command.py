"""``rehearse``: the rollout of a spec file on a virtual clock: its timeline, what its guards can detect, and the
outcome of many runs."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from tidegate.cli import draw, plot_files
from tidegate.cli.artifacts import look_up_models, prepare
from tidegate.cli.output import AsJson, console, print_note
from tidegate.cli.plot_shapes import Plot
from tidegate.cli.progress import ProgressBar
from tidegate.cli.spec_file import SpecPath, read_spec
from tidegate.domain.errors import Invalid
from tidegate.domain.rollout import Phase
from tidegate.features.rehearse import detection_view, runs_view, timeline_view
from tidegate.features.rehearse.rehearsal.rehearsal import count_runs
from tidegate.features.rehearse.report import (
    RehearsalInputs,
    RehearsalReport,
    RehearsalRequest,
    ReportPart,
    report_rehearsal,
)

Rps = Annotated[
    float | None,
    typer.Option(help="Requests per second to the endpoint; without it, the timeline alone.", show_default=False),
]
Faults = Annotated[
    list[str],
    typer.Option(
        "--fault",
        metavar="FAULT",
        help="Fault of the new version: error-rate=5%, refusal-rate=5%, latency=+80ms, prediction-shift=0.2, "
        "wrong-predictions=20%, changed-columns=5%, auc-loss=0.1, no-data, failed-start. Repeatable.",
    ),
]
Usual = Annotated[
    list[str],
    typer.Option(
        metavar="KEY=VALUE",
        help="Behaviour of a good version: error-rate=0.1%, refusal-rate=0.1%, p50=20ms and p99=80ms of latency, "
        "mean=0.4 and deviation=0.1 of predictions; positive=0.5%, labelled=20% and label-delay=30d of labels; "
        "positives=300 of a replay. Repeatable.",
    ),
]
Alarms = Annotated[
    list[str],
    typer.Option(
        "--alarm",
        metavar="KEY@WHEN",
        help="Fire an alarm at stage=N (one second into it) or at a time; without --rps.",
    ),
]
Wanted = Annotated[
    list[str],
    typer.Option(
        "--see", metavar="FAULT", help="A fault to detect; default: --fault, or error-rate=1%, latency=+50ms."
    ),
]
Power = Annotated[str, typer.Option(help="Required probability of detecting a fault.")]
FalseAlarms = Annotated[str, typer.Option(help="Allowed probability of rolling back a good version in a rollout.")]
Runs = Annotated[
    int | None,
    typer.Option(
        help="Number of rollouts with the fault, and as many without; 1000 by default, with evidence 100.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed; the same seed draws the same requests.")]
Startup = Annotated[str, typer.Option(help="How long an instance takes to start.")]
Only = Annotated[
    str,
    typer.Option(metavar="PART", help="timeline, detection or runs; all three by default.", show_default=False),
]
PlotFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Plot into an .svg, .html or .png file.")]
TITLES = {
    ReportPart.TIMELINE: "One rollout",
    ReportPart.DETECTION: "What the guards detect",
    ReportPart.RUNS: "Many rollouts",
}


def rehearse_spec(
    spec_file: SpecPath,
    *,
    rps: Rps = None,
    fault: Faults = [],  # noqa: B006
    usual: Usual = [],  # noqa: B006
    alarm: Alarms = [],  # noqa: B006
    see: Wanted = [],  # noqa: B006
    power: Power = "95%",
    false_alarms: FalseAlarms = "1%",
    runs: Runs = None,
    seed: Seed = 1,
    startup: Startup = "30s",
    only: Only = "",
    plot: PlotFile = None,
    as_json: AsJson = False,
) -> None:
    """Rehearse a rollout: timeline, what guards detect, outcome.

    Needs a server only for a model of a registry, and does not wait: the server's own state machine, alarms and
    comparison of the two versions run on a virtual clock, with random requests. The serving version is assumed to be
    as large as the new one.

    \b
    Examples:
      tidegate rehearse fraud.yaml
      tidegate rehearse fraud.yaml --alarm errors@stage=2
      tidegate rehearse fraud.yaml --rps 40 --fault error-rate=5%
      tidegate rehearse fraud.yaml --rps 40 --only detection --see latency=+20ms --plot power.svg
      tidegate rehearse fraud.yaml --rps 40 --only runs --fault failed-start --json
    """
    plot_files.check_path(plot)
    asked = {"rps": rps, "faults": fault, "usual": usual, "alarms": alarm, "wanted": see, "power": power}
    more = {
        "false_alarms": false_alarms,
        "runs": runs,
        "seed": seed,
        "startup": startup,
        "only": _parse_part(only),
    }
    found = _report(_read(spec_file, {**asked, **more}), quiet=as_json)
    if plot is not None:
        plot_files.write_plot(plot, f"Rehearsal of {found.inputs.wish.endpoint}", _plot(found))
        print_note(f"drawn: {plot}")
    _note_assumptions(found)
    if as_json:
        print(json.dumps(found.document()))
    else:
        show(found, console())


def _parse_part(text: str) -> ReportPart | None:
    if text and text not in set(ReportPart):
        raise typer.BadParameter(f"{text!r} is none of {', '.join(ReportPart)}", param_hint="--only")
    return ReportPart(text) if text else None


def _read(spec_file: Path, asked: dict[str, Any]) -> RehearsalInputs:
    loaded = read_spec(spec_file)
    data = look_up_models(loaded, prepare(loaded, spec_file.parent, must_exist=False))
    wish = loaded.wish(datetime.now(UTC), data)
    return RehearsalInputs.parse(RehearsalRequest(spec=data if isinstance(data, dict) else {}, **asked), wish)


def _report(inputs: RehearsalInputs, *, quiet: bool) -> RehearsalReport:
    drawn = inputs.request.rps is not None and ReportPart.RUNS in inputs.parts
    total = count_runs(inputs.fault, inputs.runs) if drawn else None
    with ProgressBar("rehearsing", total, quiet=quiet) as bar:
        return report_rehearsal(inputs, bar.update)


def _note_assumptions(found: RehearsalReport) -> None:
    """Print on stderr what a reader should know besides the report."""
    request, wish = found.inputs.request, found.inputs.wish
    if found.inputs.assumed:
        print_note(found.inputs.assumed)
    if request.rps is not None or found.timeline is None:
        return
    if request.alarms and found.timeline.phase is Phase.SUCCEEDED:
        over = f"it has {len(found.shares)} stage(s) and takes {draw.format_elapsed(found.timeline.seconds)}"
        print_note(f"no --alarm fired before the rollout ended: {over}")
    if wish.deployment.evidence is not None:
        print_note("evidence is assumed to find nothing worse: --rps NUMBER draws requests, by which it judges")


def show(found: RehearsalReport, screen: Console) -> None:
    """Print the parts of the report, with their titles if there are several."""
    inputs = found.inputs
    for place, part in enumerate(one for one in ReportPart if one in inputs.parts):
        if len(inputs.parts) > 1:
            screen.print(Text(("\n" if place else "") + TITLES[part], style="bold"))
        if found.timeline is not None and part is ReportPart.TIMELINE:
            timeline_view.show(found.timeline, screen)
            if found.run is not None and found.run.findings:
                screen.print("\nevidence by stage")
                screen.print(runs_view.findings_table(found.run.findings, found.run.spoke, found.shares))
            if found.harms:
                screen.print(detection_view.HARM_TITLE)
                screen.print(detection_view.harm_table(found.harms))
        if found.detection is not None and part is ReportPart.DETECTION:
            detection_view.show(found.detection, {alarm.name: alarm for alarm in inputs.wish.alarms}, screen)
        if found.runs is not None and part is ReportPart.RUNS:
            runs_view.show(found.runs, screen)
    seconds = next((one.seconds for one in (found.runs, found.detection) if one is not None), None)
    if seconds is not None:
        screen.print(f"a successful rollout takes {draw.format_duration(seconds)}")
    if found.evidence:
        screen.print("", *found.evidence, sep="\n")


def _plot(found: RehearsalReport) -> list[Plot]:
    figures: list[Plot] = []
    if found.timeline is not None:
        figures.append(timeline_view.plot(found.timeline))
    if found.detection is not None:
        figures += detection_view.plot(found.detection, found.inputs)
    if found.runs is not None:
        figures += runs_view.plot(found.runs)
    if not figures:
        raise Invalid("no run rolled back, so there is nothing to plot: leave --plot out, or give another --fault")
    return figures
