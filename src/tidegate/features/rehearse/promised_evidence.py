"""What evidence can find in a rollout, as tables and sentences of a promise."""

from collections.abc import Iterator

from rich.text import Text

from tidegate.cli.draw import format_duration
from tidegate.cli.tables import Table, key, number, sentence
from tidegate.domain.evidence import Comparison
from tidegate.features.rehearse.baseline_options import format_probability
from tidegate.features.rehearse.promise import EvidenceKind, Promise
from tidegate.features.rehearse.promise.evidence_kinds import LATE_LABELS, REPLAY

COUNTED = {
    Comparison.ERRORS: "fail",
    Comparison.LATENCY: "are slower than the old median by more than the tolerance",
    Comparison.PREDICTIONS: "have a prediction on the other side of the old median",
    Comparison.PAIRED: "(mean difference of the two predictions of a request, in units)",
    Comparison.FEATURES: "have another value in one of 20 columns",
    Comparison.TEXT: "are answered by a refusal",
}


def render(found: Promise) -> Iterator[str | Text | Table]:
    """Nothing for a rollout that asks for no evidence."""
    often = format_probability(found.power)
    if found.evidence:
        yield f"\nSmallest difference that evidence finds with {often} by the end of a stage"
        yield _evidence_table(found)
    if found.labels:
        yield f"\nSmallest loss of AUC that labels find with {often}, of 0.8"
        yield _label_table(found)
    if found.kinds:
        yield f"\nKinds of evidence: the smallest harm that each one sees first, with {often}"
        yield _kinds_table(found)
        for one in found.kinds:
            if one.blind or one.proposal:
                yield Text(_describe_blind(one), style="yellow" if one.asked and one.blind else "")


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
            "-" if one.seconds is None else format_duration(one.seconds),
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
