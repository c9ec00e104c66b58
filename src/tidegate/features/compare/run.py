"""Lets the versions of a model answer the rows of ``compare``, one after the other, and compares them."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tidegate.domain.errors import TidegateError
from tidegate.domain.pairs import Pair
from tidegate.features.compare.inputs import ComparedModel, ComparedModels
from tidegate.features.evidence.learned_tolerance import learn_tolerance
from tidegate.features.evidence.replay.answers import AnswerTerms, collect_answers
from tidegate.features.evidence.replay.report import (
    ComparisonTerms,
    ScoredRows,
    VersionComparison,
    cannot_compare,
    compare_versions,
)
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
    ) -> tuple[VersionComparison, ScoredRows | None]:
        """The result, and the answers if they can be compared; ``tell`` hears how many versions have answered, and
        which one is asked. Raises TidegateError, which names the version."""
        if not self.requests:
            return cannot_compare("there are no rows"), None
        tell(0, f"asking {models.old.name}")
        terms, old, learned = self.terms, self._ask("old", models.old), None
        tell(1, f"asking {models.new.name}")
        answers = collect_answers(self.requests, old, self._ask("new", models.new), self.asked)
        if isinstance(answers, str):
            return cannot_compare(answers), None
        if models.honest:
            honest, pairs = [], []
            for place, model in enumerate(models.honest):
                tell(2 + place, f"asking {model.name}")
                found = collect_answers(self.requests, old, self._ask("honest", model), self.asked)
                if isinstance(found, str):
                    return cannot_compare(f"honest version {model.name} in place of the new one: {found}"), answers
                honest.append(compare_versions(found, measuring_terms(terms)))
                pairs.append(_pairs(found))
            terms, learned = learn_terms(honest, terms), learn_tolerance(pairs, (SLICE,))
        return replace(compare_versions(answers, terms), learned=learned), answers

    def _ask(self, side: str, model: ComparedModel) -> list[ScoringReply]:
        sent = [ScoringRequest(each.body, each.content_type) for each in self.requests]
        with TemporaryDirectory(prefix="tg-") as folder:
            try:
                spec = make_replica(model.model, self.settings, Path(folder), model.artifacts)
                return run.score(spec, sent, Path(folder), os.environ, self.seconds)
            except TidegateError as error:
                raise type(error)(f"the {side} version, {model.name}: {error.message}") from None


def _pairs(answers: ScoredRows) -> list[Pair]:
    slices = answers.slices or [None] * len(answers.old)
    return [
        Pair(old, new, slices=() if value is None else ((SLICE, value),))
        for old, new, value in zip(answers.old, answers.new, slices, strict=True)
    ]
