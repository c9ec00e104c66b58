"""An execution that measures bias: captures and ground truth, groups, measures, the baseline. Blocks."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from statistics import stdev
from typing import Any, NamedTuple

from tidegate.domain.errors import Invalid, TidegateError
from tidegate.features.monitor.answer_values import read_parts, value_at
from tidegate.features.monitor.bias_analysis import (
    STAGES,
    FacetComparison,
    check_baseline,
    make_analysis,
    not_measured,
    read_baseline,
)
from tidegate.features.monitor.bias_config import BiasConfig, Facet, Scalar, column_of, name_value, read_config
from tidegate.features.monitor.bias_metrics import LabelledPrediction, measure_bias
from tidegate.features.monitor.measures import DRAWS, MOST_DRAWN
from tidegate.features.monitor.merge import Merge, MergedRequest
from tidegate.features.monitor.model_quality import QualityTerms
from tidegate.features.monitor.pairs import HALF, UnusedReason
from tidegate.features.monitor.quality import (
    FEWEST,
    MOST_UNUSABLE,
    LabelledWindow,
    fail,
    finish,
    merge_window,
    values_of,
)
from tidegate.features.monitor.schedule_records import ExecutionOutcome, FacetMetric, LabelledTask
from tidegate.rows.captures import read_file
from tidegate.rows.label_lines import read_number

MOST_VALUES = 20
"""Different numbers of a column up to which they are categories, if all are whole."""
Values = Sequence[Scalar | None]
Holds = Callable[[Scalar | None], bool]


def _read_scalar(value: Any) -> Scalar | None:
    """A number, a text, or nothing."""
    if isinstance(value, bool):
        return float(value)
    number = read_number(value)
    if number is not None:
        return number
    return value.strip() or None if isinstance(value, str) else None


def _choose_groups(facet: Facet, values: Values) -> Iterator[tuple[str, Holds]]:
    """How analysis.json names each group, and whether a value is of it. Raises Invalid for too many."""
    if facet.values:
        yield _make_test(facet.values, values)
        return
    found = sorted({value for value in values if value is not None}, key=name_value)
    if len(found) > MOST_VALUES:
        raise Invalid(f"facet {facet.name} has {len(found)} values: give value_or_threshold")
    for value in found:
        yield _group_values((value,))


def _make_test(wanted: Sequence[Scalar], among: Values) -> tuple[str, Holds]:
    """The same of the ``wanted`` values, or of one threshold, in a column."""
    if len(wanted) == 1 and isinstance(wanted[0], float) and _is_measured(among):
        return _group_beyond(wanted[0], max(one for one in among if isinstance(one, float)))
    return _group_values(tuple(wanted))


def _is_measured(among: Values) -> bool:
    """Numbers are measured, unless they are a few whole ones, which are categories."""
    numbers = {one for one in among if isinstance(one, float)}
    if any(isinstance(one, str) for one in among) or not numbers:
        return False
    return len(numbers) > MOST_VALUES or any(one != int(one) for one in numbers)


def _group_beyond(threshold: float, top: float) -> tuple[str, Holds]:
    name = f"({name_value(threshold)}, {name_value(top)}]"
    return name, lambda value: isinstance(value, float) and value > threshold


def _group_values(wanted: tuple[Scalar, ...]) -> tuple[str, Holds]:
    names = frozenset(map(name_value, wanted))
    return ",".join(map(name_value, wanted)), lambda value: value is not None and name_value(value) in names


class _Row(NamedTuple):
    """``label`` and ``predicted``: as they were said."""

    features: Mapping[str, Any]
    label: Any
    predicted: Any


def measure_bias_of(task: LabelledTask, draw: Random) -> ExecutionOutcome:
    """Everything that can go wrong is an outcome: it failed, with the reason, and there is no report."""
    assert task.bias is not None
    try:
        config = _read(task, task.bias.config, "analysis configuration", read_config)
        baseline = _read(task, task.constraints, "baseline", read_baseline) if task.constraints else {}
        merge = merge_window(task, ("endpointInput", "endpointOutput"))
        rows = list(_rows(task, config, merge))
        window = LabelledWindow([], merge.captured, len(merge.labelled()), merge.unused)
        if len(rows) < FEWEST:
            raise Invalid(f"{len(rows)} labelled predictions, at least {FEWEST} are needed: {window.describe()}")
        outcomes = [one for row in rows for one in (row.label, row.predicted)]
        positive, is_good = _make_test(config.positive, outcomes)
        if not any(map(is_good, outcomes)):
            raise Invalid(f"label_values_or_threshold {positive}: no label and no prediction is of it")
        compared = list(_compare(config, rows, is_good, draw))
    except TidegateError as error:
        return fail(str(error))
    checked = check_baseline(baseline, compared)
    if not checked.violations:
        if checked.unsaid:
            few = "of too few requests: analyse more time, or take them out of the baseline"
            return fail(f"{', '.join(checked.unsaid[:5])} cannot be said, {few}; {window.describe()}")
        if window.unusable > MOST_UNUSABLE * (window.unusable + window.labelled):
            return fail(f"{window.unusable} captures and labels cannot be used: {window.describe()}")
    documents = {
        "analysis.json": make_analysis(config.label, positive, compared),
        "constraint_violations.json": {"version": "1.0", "violations": list(checked.violations)},
    }
    remark = window.describe() + ("" if baseline else "; there is no baseline, so nothing was checked")
    if strange := not_measured(baseline):
        remark += f"; in the baseline, and not measured here: {', '.join(strange)}"
    return finish(task, documents, checked, {}, remark, _metrics(config.label, positive, compared))


def _read(task: LabelledTask, address: str, what: str, parse: Any) -> Any:
    """Raises TidegateError."""
    try:
        return parse(read_file(address, task.access.s3, task.access.file_roots))
    except TidegateError as error:
        raise type(error)(f"{what} {address}: {error}") from None


def _rows(task: LabelledTask, config: BiasConfig, merge: Merge) -> Iterator[_Row]:
    place = task.bias.features if task.bias is not None else ""
    for one in merge.labelled():
        found = _rows_of(task.quality, config, place, one)
        if isinstance(found, UnusedReason):
            merge.unused[found] += 1
        else:
            yield from found


def _rows_of(terms: QualityTerms, config: BiasConfig, place: str, one: MergedRequest) -> list[_Row] | UnusedReason:
    labels = one.labels or []
    asked = read_parts(one.sides.get("endpointInput"), len(labels))
    said = read_parts(one.sides["endpointOutput"], len(labels))
    if said is None:
        return UnusedReason.OTHER_COUNT if len(labels) > 1 else UnusedReason.NO_PREDICTION
    if asked is None:
        return UnusedReason.NO_FEATURES
    made: list[_Row] = []
    for label, request, answer in zip(labels, asked, said, strict=True):
        features = _features(config, value_at(request, place) if place else request)
        inference, probability = values_of(terms, answer)
        predicted = _predict(terms, inference, probability)
        if features is None:
            return UnusedReason.NO_FEATURES
        if _read_scalar(label) is None:
            return UnusedReason.NO_LABEL
        if predicted is None:
            return UnusedReason.NO_PREDICTION
        made.append(_Row(features, _read_scalar(label), predicted))
    return made


def _features(config: BiasConfig, request: Any) -> Mapping[str, Any] | None:
    while isinstance(request, list) and len(request) == 1 and isinstance(request[0], (list, dict)):
        request = request[0]
    if isinstance(request, dict):
        return request
    if isinstance(request, list) and config.headers and len(request) == len(config.headers):
        return dict(zip(config.headers, request, strict=True))
    return None


def _predict(terms: QualityTerms, inference: Any, probability: Any) -> Scalar | None:
    if terms.inference or not terms.probability:
        return _read_scalar(inference)
    chance = read_number(probability)
    if chance is None or not 0 <= chance <= 1:
        return None
    return float(chance >= (HALF if terms.threshold is None else terms.threshold))


def _compare(config: BiasConfig, rows: Sequence[_Row], is_good: Holds, draw: Random) -> Iterator[FacetComparison]:
    """Raises Invalid for a column that is not there, or a group that is empty."""
    groups = [str(column_of(row.features, config.group)) if config.group else "" for row in rows]
    for facet in config.facets:
        values = [_read_scalar(column_of(row.features, facet.name)) for row in rows]
        for value, is_of in _choose_groups(facet, values):
            cases = [
                LabelledPrediction(is_of(of), is_good(row.label), is_good(row.predicted), group)
                for of, row, group in zip(values, rows, groups, strict=True)
            ]
            if len({case.facet for case in cases}) < 2:
                raise Invalid(f"facet {facet.name} {value}: no request is of it, or all are")
            yield FacetComparison(facet.name, value, measure_bias(cases), draw_errors(cases, draw))


def draw_errors(cases: Sequence[LabelledPrediction], draw: Random) -> dict[str, dict[str, float]]:
    """Standard errors, by drawing as many cases again and again."""
    size = min(len(cases), MOST_DRAWN)
    drawn = [measure_bias(draw.choices(cases, k=size)) for _ in range(DRAWS)]
    scale, made = math.sqrt(size / len(cases)), dict[str, dict[str, float]]()
    for stage, measures in drawn[0].items():
        for name in measures:
            values = [one[stage][name].value for one in drawn if name in one[stage]]
            known = [value for value in values if math.isfinite(value)]
            error = stdev(known) * scale if len(known) > DRAWS / 2 else math.nan
            made.setdefault(stage, {})[name] = error
    return made


def _metrics(label: str, positive: str, compared: Sequence[FacetComparison]) -> tuple[FacetMetric, ...]:
    return tuple(
        FacetMetric(
            f"bias_metric_{name}",
            measure.value,
            {
                "BiasStage": STAGES[stage],
                "Label": label,
                "LabelValue": positive,
                "Facet": one.facet,
                "FacetValue": one.value,
            },
        )
        for one in compared
        for stage, measures in one.measured.items()
        for name, measure in measures.items()
        if math.isfinite(measure.value)
    )
