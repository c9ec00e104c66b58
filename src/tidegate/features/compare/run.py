"""Lets the versions of a model answer the rows of ``compare``, one after the other, and compares them."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tidegate.domain.errors import TidegateError
from tidegate.domain.pairs import Pair
from tidegate.features.compare.inputs import ComparedModel, ComparedModels
from tidegate.features.evidence.learned_tolerance import learn_tolerance
from tidegate.features.evidence.replay.answers import AnswerTerms, CollectedAnswers, collect_answers
from tidegate.features.evidence.replay.report import (
    ComparisonTerms,
    VersionComparison,
    cannot_compare,
    compare_versions,
    doubt_classes,
    join_outputs,
)
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.features.evidence.replay.scoring import run
from tidegate.features.evidence.replay.scoring.exchange import ScoringReply, ScoringRequest
from tidegate.features.evidence.replay.scoring.models import make_replica
from tidegate.features.evidence.replay.tolerance_learning import learn_terms, measuring_terms
from tidegate.rows.row_files import RowRequest
from tidegate.settings import Settings

SLICE = "slice"
"""What the column of the slices is called here."""


@dataclass(frozen=True)
class ComparisonRun:
    """``seconds`` that each version may take."""

    requests: list[RowRequest]
    asked: AnswerTerms
    terms: ComparisonTerms
    settings: Settings
    seconds: float

    def compare(
        self, models: ComparedModels, tell: Callable[[float, str], object]
    ) -> tuple[VersionComparison, Mapping[str, ScoredRows]]:
        """The result, and the answers of each output that can be compared; ``tell`` hears how many versions have
        answered, and which one is asked. Raises TidegateError, which names the version."""
        if not self.requests:
            return cannot_compare("there are no rows"), {}
        tell(0, f"asking {models.old.name}")
        old, honest, learned = self._ask("old", models.old), list[CollectedAnswers](), None
        tell(1, f"asking {models.new.name}")
        answers = collect_answers(self.requests, old, self._ask("new", models.new), self.asked)
        if isinstance(answers, str):
            return cannot_compare(answers), {}
        for place, model in enumerate(models.honest):
            tell(2 + place, f"asking {model.name}")
            found = collect_answers(self.requests, old, self._ask("honest", model), self.asked)
            if isinstance(found, str):
                reason = f"honest version {model.name} in place of the new one: {found}"
                return cannot_compare(reason), answers.outputs
            honest.append(found)
        if honest:
            learned = learn_tolerance([_pairs(one) for one in honest], (SLICE,))
        terms = replace(self.terms, outputs=len(answers.outputs))
        compared = {name: _compare(name, scored, honest, terms) for name, scored in answers.outputs.items()}
        if answers.classes:
            compared = {name: doubt_classes(one) for name, one in compared.items()}
        return replace(join_outputs(compared, answers.left_out), learned=learned), answers.outputs

    def _ask(self, side: str, model: ComparedModel) -> list[ScoringReply]:
        sent = [ScoringRequest(each.body, each.content_type) for each in self.requests]
        with TemporaryDirectory(prefix="tg-") as folder:
            try:
                spec = make_replica(model.model, self.settings, Path(folder), model.artifacts)
                return run.score(spec, sent, Path(folder), os.environ, self.seconds)
            except TidegateError as error:
                raise type(error)(f"the {side} version, {model.name}: {error.message}") from None


def _compare(
    name: str, scored: ScoredRows, honest: Sequence[CollectedAnswers], terms: ComparisonTerms
) -> VersionComparison:
    """Compare one output, by what the honest versions change in it."""
    if honest:
        measuring = measuring_terms(terms)
        terms = learn_terms([compare_versions(one.outputs[name], measuring) for one in honest], terms)
    return compare_versions(scored, terms)


def _pairs(answers: CollectedAnswers) -> list[Pair]:
    """Make pairs of the rows, with the numbers of all outputs."""
    outputs = list(answers.outputs.values())
    slices = outputs[0].slices or [None] * len(outputs[0].old)
    return [
        Pair(
            outputs[0].old[row],
            outputs[0].new[row],
            slices=() if value is None else ((SLICE, value),),
            rows=(tuple((number, one.old[row], one.new[row]) for number, one in enumerate(outputs)),),
        )
        for row, value in enumerate(slices)
    ]
