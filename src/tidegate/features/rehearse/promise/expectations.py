"""Parses normal behaviour, faults and wanted detection from texts with units: ``error-rate=5%``, ``latency=+80ms``,
``prediction-shift=0.2``, ``failed-start``, ``p99=80ms``, ``mean=0.4``."""

import math
from collections.abc import Iterable
from dataclasses import replace

from tidegate.domain.errors import Invalid
from tidegate.features.rehearse.promise import (
    HEALTHY,
    Baseline,
    LabelFlow,
    LatencyDistribution,
    Predictions,
    Quantity,
    VersionFault,
)
from tidegate.spec.problem import suggest
from tidegate.spec.units import duration

FAILED_START, NO_DATA = "failed-start", "no-data"
WRONG_PREDICTIONS, CHANGED_COLUMNS, AUC_LOSS = "wrong-predictions", "changed-columns", "auc-loss"
"""Faults that only a comparison of the two versions sees."""
_FAULTS = (*map(str, Quantity), WRONG_PREDICTIONS, CHANGED_COLUMNS, AUC_LOSS, FAILED_START, NO_DATA)


def parse_fault(texts: Iterable[str]) -> VersionFault:
    """Parse faults into one; no text gives HEALTHY. Raises Invalid."""
    found = HEALTHY
    for text in texts:
        key, given, value = text.strip().partition("=")
        if key == FAILED_START and not given:
            found = replace(found, failed_start=True)
        elif key == NO_DATA and not given:
            found = replace(found, no_data=True)
        elif key == WRONG_PREDICTIONS and given:
            found = replace(found, wrong_predictions=parse_part(value, key))
        elif key == CHANGED_COLUMNS and given:
            found = replace(found, changed_columns=parse_part(value, key))
        elif key == AUC_LOSS and given:
            found = replace(found, auc_loss=_parse_number(value, key))
        else:
            found = found.with_rise(*_parse_rise(text, _FAULTS))
    return found


def parse_wanted(texts: Iterable[str]) -> dict[Quantity, float]:
    """Parse the faults to detect, in the unit of ``VersionFault``. Raises Invalid."""
    found = {}
    for text in texts:
        quantity, size = _parse_rise(text, tuple(map(str, Quantity)))
        found[quantity] = size
    return found


def default_wanted(good: Baseline) -> dict[Quantity, float]:
    """Faults to detect by default: one more error in 100 requests, 50 ms more latency."""
    return {Quantity.ERRORS: 0.01} | ({} if good.latency is None else {Quantity.LATENCY: 50_000.0})


def _parse_rise(text: str, known: tuple[str, ...]) -> tuple[Quantity, float]:
    key, given, value = text.strip().partition("=")
    if not given or key not in list(Quantity):
        hint = "" if key in known else suggest(key, known)
        expected = "expected something like error-rate=5%, refusal-rate=5%, latency=+80ms or prediction-shift=0.2"
        raise Invalid(f"fault {text!r}{hint or f': {expected}'}")
    quantity = Quantity(key)
    match quantity:
        case Quantity.ERRORS | Quantity.REFUSALS:
            return quantity, parse_part(value, key)
        case Quantity.LATENCY:
            return quantity, duration(value.removeprefix("+"), (key,)) * 1e6
        case Quantity.PREDICTIONS:
            return quantity, _parse_number(value, key)


def parse_baseline(texts: Iterable[str]) -> Baseline:
    """Parse a good version: ``error-rate=0.1%`` and ``refusal-rate=0.1%`` (the defaults), ``p50=20ms`` and other
    latency percentiles, ``mean=0.4`` and ``deviation=0.1`` of predictions; of labels ``positive=0.5%``,
    ``labelled=20%`` and ``label-delay=30d``; of a replay ``positives=300``. Raises Invalid."""
    rates = {Quantity.ERRORS: 0.001, Quantity.REFUSALS: 0.001}
    points, moments, labels = dict[float, float](), dict[str, float](), dict[str, float]()
    positives: int | None = None
    for text in texts:
        key, _, value = text.strip().partition("=")
        if key in rates:
            rates[Quantity(key)] = parse_part(value, key)
        elif key in ("mean", "deviation"):
            moments[key] = _parse_number(value, key)
        elif key in ("positive", "labelled"):
            labels[key] = parse_part(value, key)
        elif key == "label-delay":
            labels["delay"] = duration(value, ("usual", key))
        elif key == "positives":
            positives = _parse_count(value, key)
        elif key.startswith("p"):
            points[_parse_number(key[1:], "percentile") / 100] = duration(value, ("usual", key)) * 1e6
        else:
            raise Invalid(f"usual {text!r}: expected something like error-rate=0.1%, p50=20ms or mean=0.4")
    if len(moments) == 1:
        raise Invalid("usual predictions: give both mean=NUMBER and deviation=NUMBER")
    if labels and "positive" not in labels:
        raise Invalid("usual labels: give positive=PART, too: how many of the labels are 1")
    return Baseline(
        rates[Quantity.ERRORS],
        LatencyDistribution(tuple(sorted(points.items()))) if points else None,
        Predictions(moments["mean"], moments["deviation"]) if moments else None,
        rates[Quantity.REFUSALS],
        LabelFlow(**labels) if labels else None,
        positives,
    )


def _parse_count(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 7 and int(text)):
        raise Invalid(f"{what}: {text!r} is not a whole number from 1 to 999999")
    return int(text)


def parse_part(text: str, what: str) -> float:
    """Parse a text such as 0.1% or 0.001 to a fraction, 0 to 1."""
    text = text.strip()
    number = _parse_number(text.removesuffix("%"), what)
    if text.endswith("%"):
        number /= 100
    if not 0 <= number <= 1:
        raise Invalid(f"{what} {text!r}: must be from 0% to 100%")
    return number


def _parse_number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Invalid(f"{what}: {text!r} is not a number")
    return number
