"""``labels``: how good an endpoint's predictions were, by labels that came later."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from tidegate.advisor.quality.label_lines import check_place
from tidegate.advisor.quality.report import QualityQuestion, report_quality
from tidegate.advisor.quality.sources import Line, read_lines
from tidegate.cli.capture_addresses import captured_at, s3_of
from tidegate.cli.output import AsJson, Name, console
from tidegate.cli.tables import Table, key, number
from tidegate.domain.errors import Invalid
from tidegate.spec.units import percent, seconds

UNMET = 1
"""Exit status where a measure is below what was asked for, or cannot be said."""


def labels(
    name: Name,
    truth: Annotated[
        list[str],
        typer.Argument(metavar="LABELS...", help="Files, folders or addresses (s3://, file://) of labels."),
    ],
    *,
    captures: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Captures. Default: where the endpoint captures to. Repeatable."),
    ] = None,
    score: Annotated[
        str,
        typer.Option(metavar="PLACE", help="Place of the score in an answer: a column, or predictions[0].score."),
    ] = "",
    threshold: Annotated[float, typer.Option(help="Scores from it on are positive.")] = 0.5,
    top: Annotated[str, typer.Option(metavar="SHARE", help="Highest scores whose precision is measured.")] = "1%",
    latest: Annotated[str, typer.Option(metavar="TIME", help="After it a label is too late.")] = "365d",
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="MEASURE=LEAST", help="Exit status 1 unless it is reached: auc=0.8. Repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure predictions by labels that came later.

    Labels are lines of SageMaker's ground truth; they are joined with captures by inference id.

    \b
    Examples:
      tidegate labels fraud labels.jsonl
      tidegate labels fraud s3://labels/fraud --top 5% --require auc=0.7 --json
    """
    check_place(score)
    wanted = dict(map(_parse_requirement, require or ()))
    asked = QualityQuestion(
        score, threshold, percent(top, ("--top",)) / 100, seconds(latest, ("--latest",), least=1)
    )
    s3 = s3_of(os.environ)
    found = report_quality(_lines(captures or captured_at(name), s3), _lines(truth, s3), asked)
    unmet = [measure for measure, least in wanted.items() if not _reaches(found["quality"], measure, least)]
    if as_json:
        print(json.dumps({"endpoint": name, **found, "unmet": unmet}))
    else:
        _show(found, unmet)
    if unmet:
        raise typer.Exit(UNMET)


def _parse_requirement(text: str) -> tuple[str, float]:
    """Raises Invalid."""
    measure, equals, least = text.partition("=")
    known = ("accuracy", "auc", "auc_low", "average_precision", "precision_top")
    try:
        if not equals or measure not in known:
            raise ValueError
        return measure, float(least)
    except ValueError:
        raise Invalid(f"--require {text}: expected MEASURE=LEAST, of {', '.join(known)}") from None


def _reaches(quality: Mapping[str, Any] | None, measure: str, least: float) -> bool:
    """What cannot be said is not reached."""
    value = quality.get(measure) if quality is not None else None
    return value is not None and value >= least


def _lines(addresses: list[str], s3: tuple[str, str]) -> Iterator[Line]:
    for address in addresses:
        yield from read_lines(address, s3)


def _show(found: Mapping[str, Any], unmet: list[str]) -> None:
    screen = console()
    quality, coverage, delays = found["quality"], found["coverage"], found["delay_seconds"]
    measures = Table(key("MEASURE"), number("VALUE"))
    for measure, value in (quality or {}).items():
        measures.add_row(measure.replace("_", " "), "-" if value is None else f"{value:,.4g}")
    screen.print(measures if quality else Text("no label has a prediction: nothing can be said"))
    counts = Table(key("LABELS"), number("NUMBER"))
    for outcome, count in found["labels"].items():
        if count:
            counts.add_row(outcome, f"{count:,}")
    screen.print(Text())
    screen.print(counts)
    share = "-" if coverage["share"] is None else f"{coverage['share']:.1%}"
    said = [f"{coverage['labelled']:,} of {coverage['predictions']:,} predictions have a label ({share})"]
    if delays is not None:
        days = (f"{delays[part] / 86_400:.1f}" for part in ("p50", "p90", "longest"))
        said.append("delay in days: p50 {}, p90 {}, longest {}".format(*days))
    if coverage["selective"]:
        said.append(
            f"labels are selective: {coverage['top']:.0%} of the highest tenth of scores have one and"
            f" {coverage['rest']:.0%} of the rest, so the measures hold for labelled requests only"
        )
    if skipped := sum(found["captures_skipped"].values()):
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in found["captures_skipped"].items())
        said.append(f"{skipped:,} captures were not used: {reasons}")
    said += [f"not reached: {measure}" for measure in unmet]
    for line in said:
        screen.print(Text(line))
