"""Shows on the terminal what the guards of a rollout can detect: stages, alarms, faults, evidence and proposals."""

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console
from rich.text import Text

from tidegate.cli import draw
from tidegate.cli.plot_shapes import CurvePlot
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.domain.alarm import Alarm, ComparisonOperator
from tidegate.domain.evidence import Comparison
from tidegate.features.rehearse.promise import (
    AlarmPromise,
    EvidenceKind,
    FaultPromise,
    HarmPromise,
    Promise,
    Proposal,
    Quantity,
    VersionFault,
    alarm_model,
)
from tidegate.features.rehearse.promise.detection import AlarmWatch, RolloutSetting
from tidegate.features.rehearse.promise.evidence_kinds import LATE_LABELS, REPLAY
from tidegate.features.rehearse.quantities import format_probability, format_rise, format_threshold
from tidegate.features.rehearse.rehearsal import spec_scenario
from tidegate.features.rehearse.report import RehearsalInputs
from tidegate.rollout.desired_plan import make_plan

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
COUNTED = {
    Comparison.ERRORS: "fail",
    Comparison.LATENCY: "are slower than the old median by more than the tolerance",
    Comparison.PREDICTIONS: "have a prediction on the other side of the old median",
    Comparison.PAIRED: "(mean difference of the two predictions of a request, in units)",
    Comparison.FEATURES: "have another value in one of 20 columns",
    Comparison.TEXT: "are answered by a refusal",
    Comparison.JUDGE: "are answered better by the old version, as the judge says",
}


def show(found: Promise, alarms: Mapping[str, Alarm], screen: Console) -> None:
    """Print the stages, the alarms, the wanted faults, and proposals."""
    stages = Table(key("STAGE"), *map(number, ("SHARE", "BAKE", "REQUESTS OF THE NEW VERSION")))
    for place, stage in enumerate(found.stages, 1):
        stages.add_row(
            str(place), f"{stage.share:g} %", draw.format_duration(stage.bake), f"{stage.requests:,.0f}"
        )
    screen.print(stages)
    screen.print()
    screen.print(f"Smallest fault that is detected with {format_probability(found.power)} by the end of a stage")
    screen.print(_alarm_table(found, alarms))
    for part in _render_evidence(found):
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
    """Format an alarm's rule: ``p99 of ModelLatency > 300ms, 2 of 3 x 10s``."""
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


def _render_evidence(found: Promise) -> Iterator[str | Text | Table]:
    """Render the differences that evidence, labels and kinds of evidence find; yields nothing for a rollout that asks
    for no evidence."""
    often = format_probability(found.power)
    if found.evidence:
        yield f"\nSmallest difference that evidence finds with {often} by the end of a stage"
        yield _evidence_table(found)
    if found.labels:
        yield f"\nSmallest loss of AUC that labels find with {often}, of 0.8"
        yield _label_table(found)
    if found.harms:
        yield HARM_TITLE
        yield harm_table(found.harms)
    if found.kinds:
        yield f"\nKinds of evidence: the smallest harm that each one sees first, with {often}"
        yield _kinds_table(found)
        for one in found.kinds:
            if one.blind or one.proposal:
                yield Text(_describe_blind(one), style="yellow" if one.asked and one.blind else "")


HARM_TITLE = "\nto rule the harm out of an equal version takes about"


def harm_table(harms: Iterable[HarmPromise]) -> Table:
    shown = Table(key("HARM"), *map(number, ("COUNT", "OF", "AFTER")))
    for one in harms:
        name = f"{one.harm} ({one.variant})" if one.variant else one.harm
        after = "-" if one.seconds is None else draw.format_duration(one.seconds)
        shown.add_row(name, "by the model" if one.count is None else f"{one.count:,}", one.counted, after)
    return shown


def _kinds_table(found: Promise) -> Table:
    shown = Table(key("KIND"), *map(number, ("SMALLEST HARM", "STAGE", "AFTER", "TIME")))
    for one in found.kinds:
        if not one.asked and one.smallest is None:
            continue
        shown.add_row(
            _name(one),
            _format_size(one),
            "-" if one.stage is None else str(one.stage + 1),
            f"{one.count:,.0f} {one.counted}",
            "-" if one.seconds is None else draw.format_duration(one.seconds),
        )
    return shown


def _name(one: EvidenceKind) -> str:
    return f"{one.kind} ({one.variant})" if one.variant else one.kind


def _format_size(one: EvidenceKind) -> str:
    if one.smallest is None:
        return "none"
    if one.kind in (REPLAY, LATE_LABELS):
        return f"-{one.smallest:.3f} AUC"
    return f"+{one.smallest:.3g}" if one.kind == Comparison.PAIRED else f"+{one.smallest * 100:.3g} %"


def _describe_blind(one: EvidenceKind) -> str:
    told = f"{_name(one)}: {one.blind}" if one.blind else _name(one)
    return f"{told}; proposal: {one.proposal}" if one.proposal else told


def _evidence_table(found: Promise) -> Table:
    stages = [number(f"STAGE {place}") for place in range(1, len(found.stages) + 1)]
    shown = Table(
        key("COMPARED"), *stages, number("FALSE ROLLBACKS"), sentence("FURTHER PART OF THE REQUESTS THAT")
    )
    for one in found.evidence:
        name = f"{one.comparison} ({one.variant})" if one.variant else one.comparison.value
        unit, scale = ("", 1) if one.comparison is Comparison.PAIRED else (" %", 100)
        sizes = ("-" if size is None else f"+{size * scale:.3g}{unit}" for size in one.smallest)
        shown.add_row(name, *sizes, f"< {format_probability(one.false_alarm)}", COUNTED[one.comparison])
    return shown


def _label_table(found: Promise) -> Table:
    shown = Table(number("LABELLED POSITIVES"), number("REPLAY"), number("LATE LABELS"))
    for one in found.labels:
        shown.add_row(
            f"{one.positives:,}", *("-" if loss is None else f"{loss:.3f}" for loss in (one.replay, one.late))
        )
    return shown


def plot(found: Promise, inputs: RehearsalInputs) -> list[CurvePlot]:
    """Plot for each quantity the probability that each stage detects a fault, by the fault's size."""
    plan, rate = make_plan(inputs.wish), inputs.request.rps
    assert rate is not None
    setting = RolloutSetting(plan, rate, inputs.baseline, inputs.startup)
    figures = []
    for one in found.wanted:
        watching = [
            AlarmWatch(alarm, setting)
            for alarm in spec_scenario.find_guards(inputs.wish)
            if alarm_model.watched_quantity(alarm) is one.quantity
            and alarm_model.unknown_reason(alarm, inputs.baseline) is None
        ]
        if watching:
            figures.append(_power_curves(one, watching))
    return figures


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
