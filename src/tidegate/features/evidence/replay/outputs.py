"""The outputs of a model that a replay judges, each with its labels and by itself. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tidegate.domain.finding import Finding
from tidegate.domain.replay import MOST_OUTPUTS, ReplayConfig, ReplayResult, ReplayStatistic
from tidegate.features.evidence.replay.scoring.exchange import ScoringReply
from tidegate.rows.row_files import RowRequest
from tidegate.rows.scores import count_scores

_WORST = (Finding.FAIL, Finding.NO_DATA, Finding.PASS)


@dataclass(frozen=True)
class ReplayedOutput:
    """One output. ``where``: the place of its number in an answer, as ``read_scores`` takes it; ``labels``: one for
    each request."""

    name: str
    where: str | int
    labels: Sequence[float | None]


def find_outputs(
    requests: Sequence[RowRequest], old: Sequence[ScoringReply], config: ReplayConfig
) -> list[ReplayedOutput] | str:
    """Find the outputs: as many as there are columns of labels; or one for each class where a label is the number of
    a class, from 0, and an answer has a number for each. Of two classes the second is judged, and of several those
    that have labels enough. Returns a reason instead where the labels are not those of the answers."""
    numbers = 0 if config.score else _count_numbers(requests, old)
    first = [request.label for request in requests]
    if config.other_labels:
        labels = 1 + len(config.other_labels)
        if numbers not in (0, labels):
            return f"there are {labels} labels for each row, and {numbers} numbers in its answer"
        columns = [
            first,
            *([request.other_labels[at] for request in requests] for at in range(len(config.other_labels))),
        ]
        names = (config.label, *config.other_labels)
        return [
            ReplayedOutput(name, at, labels) for at, (name, labels) in enumerate(zip(names, columns, strict=True))
        ]
    known = {label for label in first if label is not None}
    if numbers < 2 or not known <= set(range(numbers)):
        return [ReplayedOutput("", config.score, first)]
    if numbers == 2:
        return [ReplayedOutput("", 1, first)]
    outputs = [
        ReplayedOutput(
            f"class {number}", number, [None if label is None else float(label == number) for label in first]
        )
        for number in range(numbers)
    ]
    judged = [one for one in outputs if _has_enough(one, config)] or outputs
    return sorted(judged, key=lambda one: -one.labels.count(1.0))[:MOST_OUTPUTS]


def _count_numbers(requests: Sequence[RowRequest], old: Sequence[ScoringReply]) -> int:
    """Return how many numbers the first answer to a request of one row has; 0 if there is none that can be read."""
    for request, reply in zip(requests, old, strict=True):
        if not reply.problem and request.rows is not None and len(request.rows) == 1:
            return count_scores(reply.body, reply.content_type)
    return 0


def _has_enough(output: ReplayedOutput, config: ReplayConfig) -> bool:
    known = [label for label in output.labels if label is not None]
    return min(known.count(1.0), known.count(0.0)) >= config.least_labels


def join_results(judged: Sequence[tuple[ReplayedOutput, ReplayResult]]) -> ReplayResult:
    """Join the results of all outputs: the worst finding is that of the model."""
    if len(judged) == 1:
        return judged[0][1]
    results = [result for _, result in judged]
    finding = min((one.finding for one in results), key=_WORST.index)
    named: dict[str, list[str]] = {}
    for output, one in judged:
        if one.finding is finding:
            named.setdefault(one.reason, []).append(output.name)
    reasons = [f"{', '.join(names)}: {reason}" for reason, names in named.items()]
    positives = [one.positives for one in results if one.positives is not None]
    return ReplayResult(
        finding,
        "; ".join(reasons),
        max(one.rows for one in results),
        min(one.labelled for one in results),
        min(positives) if positives else None,
        tuple(_name_statistics(judged)),
        {reason: count for one in results for reason, count in one.skipped.items()},
    )


def _name_statistics(judged: Sequence[tuple[ReplayedOutput, ReplayResult]]) -> Iterator[ReplayStatistic]:
    for output, result in judged:
        yield from (replace(one, output=output.name) for one in result.statistics)
