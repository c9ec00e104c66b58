"""An execution that compares predictions with labels: captures and ground truth, measures, constraints. Blocks."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tidegate.domain.drift import DriftReportPlace
from tidegate.domain.errors import Invalid, MissingArtifact, TidegateError
from tidegate.features.drift.report import write_report
from tidegate.features.monitor.answer_values import read_parts, value_at
from tidegate.features.monitor.baselining import check_classes, check_pairs
from tidegate.features.monitor.measures import MEASURE, deviations, sizes, standard_errors
from tidegate.features.monitor.merge import SKEW, Merge, MergedRequest
from tidegate.features.monitor.model_quality import ProblemType, QualityTerms
from tidegate.features.monitor.pairs import Pair, UnusedReason, make_pair
from tidegate.features.monitor.processing_records import StorageAccess
from tidegate.features.monitor.quality_statistics import make_quality_statistics
from tidegate.features.monitor.schedule_records import ExecutionOutcome, ExecutionStatus, FacetMetric, LabelledTask
from tidegate.features.monitor.thresholds import Threshold, ThresholdCheck, check_thresholds, read_thresholds
from tidegate.features.monitor.user_files import UserFile, list_user_files
from tidegate.rows.captures import read_file, read_window
from tidegate.rows.sources import split_lines

FEWEST = 50
"""Labelled predictions below which nothing is said."""
MOST_UNUSABLE = 0.1
"""Share of captures and labels that cannot be used from which nothing good is said."""
HARMLESS = (UnusedReason.UNKNOWN, UnusedReason.REPEATED)
"""Labels of other windows, and the same once more."""
_HOUR = re.compile(r"(?:^|/)(\d{4})/(\d\d)/(\d\d)/(\d\d)/[^/]+$")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class LabelledWindow:
    """``unused``: by reason; ``captured``: requests of the window; ``pairs``: of their rows."""

    pairs: list[Pair]
    captured: int
    labelled: int
    unused: Counter[UnusedReason]

    @property
    def unusable(self) -> int:
        return sum(count for why, count in self.unused.items() if why not in HARMLESS)

    def describe(self) -> str:
        parts = [f"{count} with {why}" for why, count in sorted(self.unused.items())]
        return f"{self.labelled} of {self.captured} captured requests have a label" + (
            f"; not used: {', '.join(parts)}" if parts else ""
        )


def measure_quality(task: LabelledTask, draw: Random) -> ExecutionOutcome:
    """Measure the quality of predictions. Anything that goes wrong gives a failed outcome with the reason, and no
    report."""
    terms = task.quality
    try:
        constraints, thresholds = _read_constraints(task)
        window = _read_labelled(task)
    except TidegateError as error:
        return fail(str(error))
    if len(window.pairs) < FEWEST:
        return fail(f"{len(window.pairs)} labelled predictions, at least {FEWEST} are needed: {window.describe()}")
    measured = MEASURE[terms.problem](window.pairs)
    errors = standard_errors(terms.problem, window.pairs, draw)
    checked = check_thresholds(thresholds, measured, errors, sizes(terms.problem, window.pairs))
    if not checked.violations:
        if checked.unsaid:
            return fail(
                f"{', '.join(checked.unsaid)} cannot be said: a class is never or hardly ever seen, or all labels are"
                f" the same: analyse more time, or take them out of the constraints; {window.describe()}"
            )
        if window.unusable > MOST_UNUSABLE * (window.unusable + window.labelled):
            return fail(f"{window.unusable} captures and labels cannot be used: {window.describe()}")
    documents = _make_report(task, window, measured, deviations(terms.problem, window.pairs, draw), checked)
    if constraints:
        documents["constraints.json"] = constraints
    return finish(task, documents, checked, measured, _remark(thresholds, checked, window))


def _remark(thresholds: dict[str, Threshold], checked: ThresholdCheck, window: LabelledWindow) -> str:
    said = [window.describe()]
    if not thresholds:
        said.append("there is no baseline, so nothing was checked")
    if checked.unsaid:
        said.append(f"cannot be said: {', '.join(checked.unsaid)}")
    if checked.close:
        said.append(f"beyond their thresholds by no more than chance explains: {', '.join(checked.close)}")
    return "; ".join(said)


def finish(
    task: LabelledTask,
    documents: dict[str, Any],
    checked: ThresholdCheck,
    measured: dict[str, float],
    remark: str,
    faceted: tuple[FacetMetric, ...] = (),
) -> ExecutionOutcome:
    """Write the report, and say what the execution came to."""
    place = DriftReportPlace(task.output, kms_key=task.kms_key, roots=task.access.output_roots)
    try:
        write_report(place, documents, task.access.s3)
    except TidegateError as error:
        return fail(f"report {task.output}: {error}")
    found = len(checked.violations)
    status = ExecutionStatus.COMPLETED_WITH_VIOLATIONS if found else ExecutionStatus.COMPLETED
    finite = {name: value for name, value in measured.items() if abs(value) < 1e300}
    return ExecutionOutcome(status, found, "", finite, remark, faceted)


def fail(reason: str) -> ExecutionOutcome:
    return ExecutionOutcome(ExecutionStatus.FAILED, reason=reason)


def _read_constraints(task: LabelledTask) -> tuple[dict[str, Any], dict[str, Threshold]]:
    """Raises TidegateError."""
    if not task.constraints:
        return {}, {}
    try:
        content = read_file(task.constraints, task.access.s3, task.access.file_roots)
        return read_thresholds(content, task.quality.problem)
    except TidegateError as error:
        raise type(error)(f"baseline {task.constraints}: {error}") from None


def merge_window(task: LabelledTask, sides: Sequence[str] = ("endpointOutput",)) -> Merge:
    """Raises TidegateError."""
    if not task.addresses:
        raise Invalid("the endpoint has no data capture: give its spec a 'capture'")
    since, before = task.start.timestamp(), task.end.timestamp()
    merge = Merge(since, before, tuple(sides))
    try:
        for address in task.addresses:
            merge.add_captures(read_window(address, since, before, task.span, task.access.s3))
    except TidegateError as error:
        raise type(error)(f"captures: {error}") from None
    if not merge.captured:
        raise Invalid("no captured request in this window")
    skew = timedelta(seconds=SKEW)
    earliest, files = task.start - skew, 0
    try:
        for hour, file in _list_truth(task.labels.address, earliest, task.until + skew, task.access):
            files += 1
            for line in split_lines(file.parts()):
                merge.add_label(line, hour)
    except TidegateError as error:
        raise type(error)(f"ground truth {error}") from None
    if not files:
        raise Invalid(
            f"ground truth {task.labels.address}: no file in the folders of its hours (yyyy/mm/dd/hh) from"
            f" {earliest:%Y/%m/%d/%H} on"
        )
    return merge


def _read_labelled(task: LabelledTask) -> LabelledWindow:
    """Raises TidegateError."""
    merge = merge_window(task)
    pairs: list[Pair] = []
    labelled = merge.labelled()
    for one in labelled:
        found = _pairs_of(task.quality, one)
        if isinstance(found, UnusedReason):
            merge.unused[found] += 1
        else:
            pairs += found
            check_pairs(pairs)
    if task.quality.problem is ProblemType.MULTICLASS:
        check_classes(pairs)
    return LabelledWindow(pairs, merge.captured, len(labelled), merge.unused)


def _pairs_of(terms: QualityTerms, one: MergedRequest) -> list[Pair] | UnusedReason:
    """Return the pairs of the rows of one request. If one of them cannot be used, none is."""
    labels = one.labels or []
    parts = read_parts(one.sides["endpointOutput"], len(labels))
    if parts is None:
        return UnusedReason.OTHER_COUNT if len(labels) > 1 else UnusedReason.NO_PREDICTION
    made: list[Pair] = []
    for label, part in zip(labels, parts, strict=True):
        pair = make_pair(terms, label, *values_of(terms, part))
        if isinstance(pair, UnusedReason):
            return pair
        made.append(pair)
    return made


def values_of(terms: QualityTerms, part: Any) -> tuple[Any, Any]:
    """Return the predicted label and the probability in the answer for one row. Without any place, the answer is the
    label."""
    probability = value_at(part, terms.probability) if terms.probability else None
    if terms.inference or not terms.probability:
        return value_at(part, terms.inference), probability
    return None, probability


def _make_report(
    task: LabelledTask,
    window: LabelledWindow,
    measured: dict[str, float],
    spread: Any,
    checked: ThresholdCheck,
) -> dict[str, Any]:
    about = {
        "start_time": task.start.isoformat(),
        "end_time": task.end.isoformat(),
        "captured_count": window.captured,
        "labelled_count": window.labelled,
        "unused": {str(why): count for why, count in sorted(window.unused.items())},
    }
    return {
        "statistics.json": make_quality_statistics(task.quality.problem, window.pairs, measured, spread, about),
        "constraint_violations.json": {"violations": list(checked.violations)},
    }


def _list_truth(
    address: str, since: datetime, until: datetime, access: StorageAccess
) -> Iterator[tuple[float, UserFile]]:
    """Files below ``yyyy/mm/dd/hh`` with the epoch seconds at which their hour begins, from the hour of ``since`` to
    that of ``until``. There may be none. Raises TidegateError where they cannot be read."""
    first = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    day = first.replace(hour=0)
    while day <= until:
        try:
            for file in list_user_files(f"{address.rstrip('/')}/{day:%Y/%m/%d}/", access):
                hour = _hour_of(file.path)
                if hour is not None and first <= hour <= until:
                    yield hour.timestamp(), file
        except MissingArtifact:
            pass  # a folder of a day without labels
        except TidegateError as error:
            raise type(error)(f"{address}: {error}") from None
        day += DAY


def _hour_of(path: str) -> datetime | None:
    found = _HOUR.search(path)
    if found is None:
        return None
    year, month, day, hour = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, tzinfo=UTC)
    except ValueError:
        return None
