"""Options that ``promise`` and ``rehearse`` share: the traffic, and the behaviour of a good version."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.artifacts import prepare
from tidegate.cli.spec_file import read_spec
from tidegate.domain.desired import DesiredDeployment
from tidegate.features.rehearse.promise import Baseline, Quantity, expectations
from tidegate.features.rehearse.rehearsal import spec_scenario

Rps = Annotated[float, typer.Option("--rps", help="Requests per second to the endpoint.", show_default=False)]
Usual = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Behaviour of a good version: error-rate=0.1%, refusal-rate=0.1%, p50=20ms and p99=80ms of latency, "
        "mean=0.4 and deviation=0.1 of predictions; positive=0.5%, labelled=20% and label-delay=30d of labels; "
        "positives=300 of a replay. Repeatable.",
    ),
]
Fault = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FAULT",
        help="Fault of the new version: error-rate=5%, refusal-rate=5%, latency=+80ms, prediction-shift=0.2, "
        "wrong-predictions=20%, changed-columns=5%, auc-loss=0.1, no-data, failed-start. Repeatable.",
    ),
]
Startup = Annotated[str, typer.Option(help="How long an instance takes to start.")]
Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="Plot into an .svg or .html file.")]


@dataclass(frozen=True)
class SpecWithBaseline:
    """A spec file and its baseline. ``assumed``: describes what was assumed for lack of options."""

    wish: DesiredDeployment
    baseline: Baseline
    assumed: str | None


def load_spec_with_baseline(spec_file: Path, usual: Sequence[str] | None) -> SpecWithBaseline:
    """Raises Invalid."""
    loaded = read_spec(spec_file)
    wish = loaded.wish(datetime.now(UTC), prepare(loaded, spec_file.parent, must_exist=False))
    baseline = expectations.parse_baseline(usual or ())
    filled = spec_scenario.fill_in_latency(wish, baseline)
    return SpecWithBaseline(wish, filled, None if filled is baseline else _describe_assumption(filled))


def _describe_assumption(filled: Baseline) -> str:
    assert filled.latency is not None
    p50, p99 = (format_millis(filled.latency.quantile(part)) for part in (0.5, 0.99))
    said = f"latency of a good version not given (--usual): assumed p50={p50} p99={p99}"
    return said if filled.latency is spec_scenario.ASSUMED_LATENCY else f"{said}, half of the alarm's threshold"


def format_millis(microseconds: float) -> str:
    """``50ms``, ``1.2s``."""
    if microseconds >= 1e6:
        return f"{microseconds / 1e6:.3g}s"
    return f"{microseconds / 1e3:.3g}ms"


def format_rise(quantity: Quantity, size: float | None) -> str:
    """Format as ``+1 %``, ``+50ms`` or ``0.2``; a dash for None."""
    if size is None:
        return "-"
    match quantity:
        case Quantity.ERRORS | Quantity.REFUSALS:
            return f"+{size * 100:.3g} %"
        case Quantity.LATENCY:
            return f"+{format_millis(size)}"
        case Quantity.PREDICTIONS:
            return f"{size:.3g}"


def format_threshold(quantity: Quantity | None, value: float) -> str:
    """Format a threshold as in a spec: ``2%``, ``300ms``."""
    match quantity:
        case Quantity.ERRORS | Quantity.REFUSALS:
            return f"{value * 100:.4g}%"
        case Quantity.LATENCY:
            return format_millis(value)
        case _:
            return f"{value:g}"


def format_probability(part: float) -> str:
    """Format as ``95 %``, ``0.03 %`` or ``<0.001 %``."""
    percent = part * 100
    if 0 < percent < 0.001:
        return "<0.001 %"
    return f"{percent:.2g} %" if percent < 10 else f"{percent:.3g} %"
