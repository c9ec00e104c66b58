"""``promise``: computes what the rollout of a spec file can detect."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from tidegate.cli import draw, plot_files
from tidegate.cli.output import AsJson, console, print_note
from tidegate.cli.plot_shapes import CurvePlot
from tidegate.cli.progress import ProgressBar
from tidegate.cli.spec_file import SpecPath
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.domain.alarm import Alarm, ComparisonOperator
from tidegate.features.rehearse import baseline_options, promised_evidence
from tidegate.features.rehearse.baseline_options import format_probability, format_rise, format_threshold
from tidegate.features.rehearse.promise import (
    AlarmPromise,
    FaultPromise,
    Promise,
    PromiseTerms,
    Proposal,
    Quantity,
    VersionFault,
    alarm_model,
    expectations,
    promise,
)
from tidegate.features.rehearse.promise.detection import AlarmWatch, RolloutSetting
from tidegate.features.rehearse.rehearsal import spec_scenario
from tidegate.spec.units import duration

SIGNS = {
    ComparisonOperator.GREATER: ">",
    ComparisonOperator.GREATER_OR_EQUAL: ">=",
    ComparisonOperator.LESS: "<",
    ComparisonOperator.LESS_OR_EQUAL: "<=",
}
UNITS = {
    Quantity.ERRORS: (100.0, "percent"),
    Quantity.REFUSALS: (100.0, "percent"),
    Quantity.LATENCY: (1e-3, "ms"),
    Quantity.PREDICTIONS: (1.0, "index"),
}
CURVE_POINTS = 60
"""Number of points of a curve."""


def promise_spec(
    spec_file: SpecPath,
    *,
    rps: baseline_options.Rps,
    see: Annotated[
        list[str] | None,
        typer.Option(metavar="FAULT", help="A fault to detect; default: error-rate=1% and latency=+50ms."),
    ] = None,
    usual: baseline_options.Usual = None,
    false_alarms: Annotated[
        str, typer.Option(help="Allowed probability of rolling back a good version in a whole rollout.")
    ] = "1%",
    power: Annotated[str, typer.Option(help="Required probability of detecting a fault.")] = "95%",
    startup: baseline_options.Startup = "30s",
    plot: baseline_options.Plot = None,
    as_json: AsJson = False,
) -> None:
    """Compute what a spec's rollout can detect.

    Shows the smallest fault that each alarm detects by each stage, what a bad version does until it is rolled back,
    how often a good one is, and, if the first bake misses a wanted fault, a bake, a canary or an alarm that does not.

    \b
    Examples:
      tidegate promise fraud.yaml --rps 40
      tidegate promise fraud.yaml --rps 40 --see error-rate=0.5% --see latency=+20ms
      tidegate promise fraud.yaml --rps 40 --usual p50=12ms --usual p99=40ms --plot power.svg
    """
    plot_files.check_path(plot)
    given = baseline_options.load_spec_with_baseline(spec_file, usual)
    plan = spec_scenario.make_plan(given.wish)
    terms = PromiseTerms(
        expectations.parse_part(power, "--power"),
        expectations.parse_part(false_alarms, "--false-alarms"),
        duration(startup, ("--startup",)),
        spec_scenario.traffic_parts(given.wish),
        all(model.serial for model in given.wish.models),
    )
    asked = expectations.parse_wanted(see) if see else expectations.default_wanted(given.baseline)
    with ProgressBar("computing what the alarms can see", quiet=as_json):
        found = promise(plan, given.wish.alarms, rps, given.baseline, asked, terms)
    if plot is not None:
        _draw(plot, given, plan.alarms, found, RolloutSetting(plan, rps, given.baseline, terms.startup))
        print_note(f"drawn: {plot}")
    if as_json:
        print(json.dumps({**asdict(found), "kept": found.kept, "assumed": given.assumed}))
        return
    show(found, {alarm.name: alarm for alarm in given.wish.alarms}, console())
    if given.assumed:
        print_note(given.assumed)


def show(found: Promise, alarms: Mapping[str, Alarm], screen: Console) -> None:
    """Print the stages, the alarms, the wanted faults, and proposals."""
    stages = Table(key("STAGE"), *map(number, ("SHARE", "BAKE", "REQUESTS OF THE NEW VERSION")))
    for place, stage in enumerate(found.stages, 1):
        stages.add_row(
            str(place), f"{stage.share:g} %", draw.format_duration(stage.bake), f"{stage.requests:,.0f}"
        )
    screen.print(stages)
    screen.print(f"the whole rollout takes {draw.format_duration(found.seconds)}\n")
    screen.print(f"Smallest fault that is detected with {format_probability(found.power)} by the end of a stage")
    screen.print(_alarm_table(found, alarms))
    for part in promised_evidence.render(found):
        screen.print(part)
    for one in found.wanted:
        screen.print()
        for line in (*_describe_wanted(one), *_describe_proposals(one)):
            screen.print(line)
    screen.print()
    for alarm in found.alarms:
        if alarm.unknown is not None:
            screen.print(f"{alarm.name} is left out: {alarm.unknown}")
    for quantity in found.unwatched:
        screen.print(f"no alarm of the rollout watches {quantity}")
    often = f"a good version is rolled back in {format_probability(found.false_alarm)} of rollouts at most"
    good = found.false_alarm <= found.false_alarms
    screen.print(
        Text(f"{often}; {format_probability(found.false_alarms)} are allowed", style="" if good else "bold red")
    )


def _alarm_table(found: Promise, alarms: Mapping[str, Alarm]) -> Table:
    stages = [number(f"STAGE {place}") for place in range(1, len(found.stages) + 1)]
    shown = Table(key("ALARM"), *stages, number("FALSE ALARMS"), sentence("FIRES WHEN"))
    for one in found.alarms:
        rule = _format_rule(alarms[one.name])
        if one.quantity is None or one.unknown is not None:
            shown.add_row(one.name, *("-" for _ in stages), "-", rule)
            continue
        false = ("" if one.exact else "~") + format_probability(one.false_alarm)
        shown.add_row(one.name, *_format_smallest(one), false, rule)
    return shown


def _format_rule(alarm: Alarm) -> str:
    """``p99 of ModelLatency > 300ms, 2 of 3 x 10s``."""
    limit = format_threshold(alarm_model.watched_quantity(alarm), alarm.threshold)
    where = f"{alarm.subject} {SIGNS[alarm.comparison]} {limit}"
    return f"{where}, {alarm.datapoints_to_alarm} of {alarm.evaluation_periods} x {draw.format_span(alarm.period)}"


def _format_smallest(one: AlarmPromise) -> list[str]:
    assert one.quantity is not None
    return [format_rise(one.quantity, size) for size in one.smallest]


def _describe_wanted(one: FaultPromise) -> Iterator[Text]:
    fault = f"{one.quantity} {format_rise(one.quantity, one.size)}"
    if one.alarm is None:
        yield Text(f"{fault}: no alarm watches it", style="bold red")
        return
    first = format_probability(one.first)
    if one.seen:
        yield Text(f"{fault}: detected in the first bake ({first}), by {one.alarm}", style="green")
    elif one.stage is not None:
        yield Text(f"{fault}: not detected before stage {one.stage + 1} (first bake {first})", style="yellow")
    else:
        yield Text(
            f"{fault}: not detected ({format_probability(one.by_stage[-1])} in the whole rollout)",
            style="bold red",
        )
    yield Text(f"  until it is rolled back: {_describe_exposure(one)}")


def _describe_exposure(one: FaultPromise) -> str:
    average = f"{one.requests:,.0f} requests in {draw.format_duration(one.seconds)} on average"
    if one.most_requests is None or one.most_seconds is None:
        return f"{average}; in more than 5 of 100 cases it is never rolled back"
    most = f"{one.most_requests:,.0f} in {draw.format_duration(one.most_seconds)}"
    return f"{average}, in 95 of 100 cases at most {most}"


def _describe_proposals(one: FaultPromise) -> Iterator[Text]:
    for proposal in one.proposals:
        yield Text(f"  proposal: {_describe_proposal(proposal, one.quantity)}")
    if one.alarm is None and one.quantity is Quantity.PREDICTIONS:
        yield Text("  publish its predictions as a custom metric (PutMetricData), with an alarm on its Average")
    if not one.seen and not one.proposals:
        yield Text("  no bake up to a day, no canary up to a half and no threshold is enough with this traffic")


def _describe_proposal(one: Proposal, quantity: Quantity) -> str:
    then = (
        f"(then detected with {format_probability(one.power)}, false alarms {format_probability(one.false_alarm)})"
    )
    match one.what:
        case "bake":
            return f"a first bake of {draw.format_duration(one.bake or 0)} {then}"
        case "canary":
            return f"a first part of {one.share} % {then}"
        case "sample":
            shadow = (
                f"a shadow that gets all requests for {draw.format_duration(one.bake or 0)} before the rollout"
            )
            return f"{one.requests:,} requests, tested on their own: {shadow}, or a replay of as many {then}"
    longer = f"a first bake of {draw.format_duration(one.bake or 0)} and " if one.what == "bake_and_alarm" else ""
    limit = f"{one.statistic} of {one.metric} at {format_threshold(quantity, one.threshold or 0.0)}"
    return f"{longer}an alarm on {limit}, {one.datapoints} of {one.periods} x {one.period}s {then}"


def _draw(
    path: Path,
    given: baseline_options.SpecWithBaseline,
    guards: tuple[str, ...],
    found: Promise,
    setting: RolloutSetting,
) -> None:
    """Plot, for each quantity, the probability that the first bake detects a fault, by the fault's size."""
    figures = []
    for one in found.wanted:
        watching = [
            AlarmWatch(alarm, setting)
            for alarm in given.wish.alarms
            if alarm.name in guards
            and alarm_model.watched_quantity(alarm) is one.quantity
            and alarm_model.unknown_reason(alarm, given.baseline) is None
        ]
        if watching:
            figures.append(_power_curves(one, watching))
    plot_files.write_plot(path, "What the rollout detects", figures)


def _power_curves(one: FaultPromise, watching: list[AlarmWatch]) -> CurvePlot:
    stages = range(len(watching[0].setting.plan.stages))
    sizes = [abs(one.size) * 2 * place / CURVE_POINTS for place in range(CURVE_POINTS + 1)]
    scale, unit = UNITS[one.quantity]
    by_size = [
        (size, [max(w.by_stage(VersionFault.of(one.quantity, size))[stage] for w in watching) for stage in stages])
        for size in sizes
    ]
    curves = [
        (f"by the end of stage {stage + 1}", [(size * scale, 100 * seen[stage]) for size, seen in by_size])
        for stage in stages
    ]
    title = f"Probability of detecting a fault of {one.quantity}"
    marks = [(abs(one.size) * scale, "matters")]
    return CurvePlot(title, f"added {one.quantity} ({unit})", "detected, % of rollouts", curves, 100.0, marks)
