"""The scores of two versions, from their replies to the same requests. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.features.evidence.replay.outputs import (
    Numbers,
    ReplayedOutput,
    ReplayedOutputs,
    find_outputs,
    list_outputs,
)
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.features.evidence.replay.scoring.exchange import ScoringReply
from tidegate.rows.profile import Row
from tidegate.rows.row_files import RowRequest, slices_of
from tidegate.rows.scores import read_rows_of_scores, read_scores

SHOWN = 200
"""Characters of an answer or error in a message."""


@dataclass(frozen=True)
class AnswerTerms:
    """The terms for reading answers. ``where``: the place of the score in an answer; ``by``: the column of the
    slices, empty for none; ``labels``: columns of the labels, one or one for each output; ``least_labels``: of a
    class that is judged by itself."""

    where: str = ""
    by: str = ""
    labels: tuple[str, ...] = ()
    least_labels: int = 100


@dataclass(frozen=True)
class CollectedAnswers:
    """``outputs``: the scores of each output by its name, which is empty where only one is compared. ``left_out``:
    outputs that are not compared. ``classes``: whether each output is the probability of a class."""

    outputs: Mapping[str, ScoredRows]
    left_out: Sequence[str] = ()
    classes: bool = False


@dataclass
class _Side:
    """The numbers that one version answered, by request. ``width``: numbers of a row."""

    name: str
    width: int
    scores: list[Numbers] = field(default_factory=list)
    unanswered: int = 0
    unreadable: int = 0
    example: str = ""

    def add(self, reply: ScoringReply, where: str) -> None:
        found = read_reply(reply, self.width, where)
        if found is None:
            text = reply.problem or reply.body[:SHOWN].decode(errors="replace")
            self.example = self.example or " ".join(text.split())[:SHOWN]
            self.unanswered += bool(reply.problem)
            self.unreadable += not reply.problem
        self.scores.append(found or [])

    def problem(self, total: int) -> str:
        """Return why its answers cannot be compared; empty if they can."""
        if self.unanswered:
            return f"the {self.name} version failed on {self.unanswered:,} of {total:,} requests: {self.example}"
        if self.unreadable:
            wanted = "a number" if self.width == 1 else f"{self.width} numbers"
            return (
                f"{self.unreadable:,} of {total:,} answers of the {self.name} version are not {wanted} for each row:"
                f" {self.example!r}; --with score=PLACE names the place of the score"
            )
        return ""


def collect_answers(
    requests: Sequence[RowRequest], old: Sequence[ScoringReply], new: Sequence[ScoringReply], terms: AnswerTerms
) -> CollectedAnswers | str:
    """Collect the answers row by row, each output by itself. Returns a reason instead where there are none that can
    be compared."""
    width = 1 if terms.where else find_width(requests, old)
    if len(terms.labels) > 1 and width != len(terms.labels):
        return f"there are {len(terms.labels)} labels for each row, and {width} numbers in its answer"
    sides = (_Side("old", width), _Side("new", width))
    for side, replies in zip(sides, (old, new), strict=True):
        for reply in replies:
            side.add(reply, terms.where)
    problems = [problem for side in sides if (problem := side.problem(len(requests)))]
    if problems:
        return "; ".join(problems)
    labels = [(one.label, *one.other_labels) for one in requests]
    outputs: ReplayedOutputs | str = ReplayedOutputs([ReplayedOutput("", 0, [first for first, *_ in labels])])
    some = any(one is not None for each in labels for one in each)
    if width > 1:
        answers = sides[0].scores
        outputs = (
            find_outputs(labels, answers, terms.labels, terms.least_labels) if some else list_outputs(answers)
        )
    if isinstance(outputs, str):
        return outputs
    found: dict[str, ScoredRows] = {}
    for one in outputs.judged:
        scored = collect_output(requests, sides[0].scores, sides[1].scores, one, terms)
        if isinstance(scored, str):
            return scored
        found[one.name] = scored
    return CollectedAnswers(found, outputs.left_out, width > 1 and some and len(terms.labels) == 1)


def find_width(requests: Sequence[RowRequest], replies: Sequence[ScoringReply]) -> int:
    """Return how many numbers a row has in the first answer to a request of one row that can be read; 1 if there is
    none."""
    for request, reply in zip(requests, replies, strict=True):
        if not reply.problem and request.rows is not None and len(request.rows) == 1:
            found = read_rows_of_scores(reply.body, reply.content_type)
            if found is not None:
                return len(found[0])
    return 1


def read_reply(reply: ScoringReply, width: int, where: str) -> list[list[float]] | None:
    """Return the numbers of each row; None if the answer does not have so many."""
    if reply.problem:
        return None
    if width > 1:
        rows = read_rows_of_scores(reply.body, reply.content_type)
        return rows if rows is not None and len(rows[0]) == width else None
    scores = read_scores(reply.body, reply.content_type, where)
    return [[one] for one in scores] if scores else None


def collect_output(
    requests: Sequence[RowRequest],
    old: Sequence[Numbers],
    new: Sequence[Numbers],
    output: ReplayedOutput,
    terms: AnswerTerms,
) -> ScoredRows | str:
    """Collect the scores of one output. Returns a reason instead where they are not one for each row."""
    sides = [[[row[output.place] for row in rows] for rows in answers] for answers in (old, new)]
    labelled = [replace(one, label=label) for one, label in zip(requests, output.labels, strict=True)]
    return _collect_scores(labelled, sides[0], sides[1], terms)


def _collect_scores(
    requests: Sequence[RowRequest],
    old: Sequence[Sequence[float]],
    new: Sequence[Sequence[float]],
    terms: AnswerTerms,
) -> ScoredRows | str:
    """Collect the scores of each request's rows. Returns a reason instead where they are not one for each row."""
    rows: list[Row] = []
    labels: list[float | None] = []
    for number, (request, before, after) in enumerate(zip(requests, old, new, strict=True), 1):
        counts = {len(before), len(after), *([len(request.rows)] if request.rows is not None else ())}
        if len(counts) > 1:
            known = "" if request.rows is None else f" of {len(request.rows)} rows"
            return (
                f"request {number}{known}: the old version answered {len(before)} numbers and the new one"
                f" {len(after)}; --with score=PLACE names the place of the score"
            )
        rows += request.rows or [{}] * len(before)
        labels += [request.label] * len(before)
    return ScoredRows(
        old=[score for scores in old for score in scores],
        new=[score for scores in new for score in scores],
        labels=labels,
        rows=rows,
        slices=slices_of(rows, terms.by) if terms.by else None,
        labelled=bool(terms.labels),
    )
