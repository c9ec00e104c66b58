"""The scores of two versions, from their replies to the same requests. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tidegate.features.evidence.replay.report import ScoredRows
from tidegate.features.evidence.replay.scoring.exchange import ScoringReply
from tidegate.rows.profile import Row
from tidegate.rows.row_files import RowRequest, slices_of
from tidegate.rows.scores import read_scores

SHOWN = 200
"""Characters of an answer or error in a message."""


@dataclass(frozen=True)
class AnswerTerms:
    """The terms for reading answers. ``where``: the place of the score in an answer; ``by``: the column of the
    slices, empty for none; ``labelled``: whether there is a column of labels."""

    where: str = ""
    by: str = ""
    labelled: bool = False


@dataclass
class _Side:
    """The scores that one version answered, by request."""

    name: str
    scores: list[list[float]] = field(default_factory=list)
    unanswered: int = 0
    unreadable: int = 0
    example: str = ""

    def add(self, reply: ScoringReply, where: str) -> None:
        found = None if reply.problem else read_scores(reply.body, reply.content_type, where)
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
            return (
                f"{self.unreadable:,} of {total:,} answers of the {self.name} version are not a number for each row:"
                f" {self.example!r}; --with score=PLACE names the place of the score"
            )
        return ""


def collect_answers(
    requests: Sequence[RowRequest], old: Sequence[ScoringReply], new: Sequence[ScoringReply], terms: AnswerTerms
) -> ScoredRows | str:
    """Collect the answers row by row. Returns a reason instead where there are none that can be compared."""
    sides = (_Side("old"), _Side("new"))
    for side, replies in zip(sides, (old, new), strict=True):
        for reply in replies:
            side.add(reply, terms.where)
    problems = [problem for side in sides if (problem := side.problem(len(requests)))]
    if problems:
        return "; ".join(problems)
    return collect_scores(requests, sides[0].scores, sides[1].scores, terms)


def collect_scores(
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
        labelled=terms.labelled,
    )
