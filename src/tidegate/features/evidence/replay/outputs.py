"""The outputs of a model that a replay judges, each with its labels and by itself. Pure."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.domain.finding import Finding
from tidegate.domain.replay import MOST_OUTPUTS, ReplayConfig, ReplayResult, ReplayStatistic
from tidegate.features.evidence.replay.labelled import RARE
from tidegate.features.evidence.replay.replay_judge import UNSEEN

Numbers = Sequence[Sequence[float]]
"""The numbers of each row of one answer."""
_WORST = (Finding.FAIL, Finding.NO_DATA, Finding.PASS)
_ROUNDING = 1e-3
"""By how much the sum of the probabilities of all classes may differ from 1."""
_SURELY = 4.0
"""Standard errors by which an AUC is below that of chance for certain."""


@dataclass(frozen=True)
class ReplayedOutput:
    """One output. ``place``: of its number among those of a row; ``labels``: one for each request."""

    name: str
    place: int
    labels: Sequence[float | None]


@dataclass(frozen=True)
class ReplayedOutputs:
    """The outputs that are judged. ``left_out``: classes with too few labels to be judged by themselves."""

    judged: Sequence[ReplayedOutput]
    left_out: Sequence[str] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Labels that do not count, by reason."""


def find_outputs(
    labels: Sequence[tuple[float | None, ...]],
    answers: Sequence[Numbers | None],
    names: Sequence[str],
    least_labels: int,
) -> ReplayedOutputs | str:
    """Find the outputs of answers with several numbers for each row: as many as there are columns of labels, or one
    for each class where the numbers are the probabilities of all classes and a label is the number of one, from 0. Of
    two classes the second is judged, and of several those that have labels enough.

    ``labels`` are those of each request, ``names`` their columns, and ``answers`` those of the old version. Returns a
    reason instead where the labels are not those of the answers."""
    if len(names) > 1:
        each = [ReplayedOutput(name, at, [one[at] for one in labels]) for at, name in enumerate(names)]
        return ReplayedOutputs(each)
    rows = [row for answer in answers if answer is not None for row in answer]
    if not _are_probabilities(rows):
        return (
            f"an answer has {len(rows[0])} numbers for each row, which are no probabilities of classes: 'score' names"
            " the place of one, or 'label' a column for each"
        )
    return _find_classes([one for one, *_ in labels], len(rows[0]), least_labels)


def list_outputs(answers: Sequence[Numbers]) -> ReplayedOutputs:
    """List the outputs of answers without labels, the first ones where there are many: of the probabilities of two
    classes the second alone, since the first is what is left of 1."""
    rows = [row for answer in answers for row in answer]
    width, labels = len(rows[0]), [None] * len(answers)
    if width == 2 and _are_probabilities(rows):
        return ReplayedOutputs([ReplayedOutput("", 1, labels)])
    each = [ReplayedOutput(f"output {at + 1}", at, labels) for at in range(width)]
    return ReplayedOutputs(each[:MOST_OUTPUTS], [one.name for one in each[MOST_OUTPUTS:]])


def _are_probabilities(rows: Sequence[Sequence[float]]) -> bool:
    """Whether the numbers of each row are the probabilities of all classes."""
    return all(min(row) >= 0 and abs(math.fsum(row) - 1) <= _ROUNDING for row in rows)


def _find_classes(labels: Sequence[float | None], classes: int, least_labels: int) -> ReplayedOutputs | str:
    counts = Counter(label for label in labels if label is not None)
    strange = [label for label in counts if label not in range(classes)]
    unseen, known = sum(counts[label] for label in strange), sum(counts.values())
    if unseen > RARE * known:
        said = f"the classes of an answer with {classes} numbers are 0 to {classes - 1}"
        return f"a label is {strange[0]:g}, and {said}"
    numbers = sorted((one for one in range(classes) if counts[one]), key=lambda one: -counts[one])
    enough = [one for one in numbers if min(counts[one], known - unseen - counts[one]) >= least_labels]
    judged = [1] if classes == 2 else (enough or numbers)[:MOST_OUTPUTS]
    outputs = [
        ReplayedOutput(
            "" if classes == 2 else f"class {number}",
            number,
            [None if label is None or label in strange else float(label == number) for label in labels],
        )
        for number in judged
    ]
    left_out = [] if classes == 2 else [f"class {one}" for one in sorted(set(numbers) - set(judged))]
    return ReplayedOutputs(outputs, left_out, {UNSEEN: unseen} if unseen else {})


def doubt_classes(result: ReplayResult) -> ReplayResult:
    """Return a result of NO_DATA where the old version orders the rows of a class worse than chance does for certain:
    its numbers are not those of the labels' classes then. By the variance of an AUC without any difference (Hanley
    and McNeil, Radiology 143, 1982)."""
    auc = next((one.old for one in result.statistics if (one.name, one.slice) == ("auc", "")), None)
    reason = doubt_order(auc, result.positives, result.labelled)
    return replace(result, finding=Finding.NO_DATA, reason=reason) if reason else result


def doubt_order(auc: float | None, positives: int | None, labelled: int) -> str:
    """Return why the old version's numbers are not those of the labels' classes; empty if they may be."""
    if auc is None or not positives or positives == labelled:
        return ""
    error = math.sqrt((1 / positives + 1 / (labelled - positives)) / 12)
    if auc + _SURELY * error >= 0.5:
        return ""
    said = f"the old version's AUC is {auc:.3g}: its numbers are not in the order of the labels' classes"
    return f"{said}; 'score' names the place of the score"


def join_results(outputs: ReplayedOutputs, results: Sequence[ReplayResult], config: ReplayConfig) -> ReplayResult:
    """Join the results of all outputs: the worst finding is that of the model. A class that is left out has a
    statistic without a value, so that no assurance holds for it."""
    skipped = Counter(outputs.skipped)
    for result in results:
        skipped |= Counter(result.skipped)
    if len(results) == 1 and not outputs.judged[0].name:
        return replace(results[0], skipped=dict(skipped))
    finding = min((one.finding for one in results), key=_WORST.index)
    named: dict[str, list[str]] = {}
    for output, one in zip(outputs.judged, results, strict=True):
        if one.finding is finding:
            named.setdefault(one.reason, []).append(output.name)
    reasons = [f"{', '.join(names)}: {reason}" for reason, names in named.items()]
    if outputs.left_out:
        reasons.append(f"{', '.join(outputs.left_out)}: too few labels to be judged")
    positives = [one.positives for one in results if one.positives is not None]
    return ReplayResult(
        finding,
        "; ".join(reasons),
        max(one.rows for one in results),
        min(one.labelled for one in results),
        min(positives) if positives else None,
        tuple(_name_statistics(outputs, results, config)),
        dict(skipped),
    )


def _name_statistics(
    outputs: ReplayedOutputs, results: Sequence[ReplayResult], config: ReplayConfig
) -> Iterator[ReplayStatistic]:
    for output, result in zip(outputs.judged, results, strict=True):
        yield from (replace(one, output=output.name) for one in result.statistics)
    for name in outputs.left_out:
        yield ReplayStatistic(
            *("auc", "", None, None, None, None, config.auc, Finding.NO_DATA),
            "there are too few labels",
            output=name,
        )
