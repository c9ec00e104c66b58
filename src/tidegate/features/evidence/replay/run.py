"""Run a replay: both versions answer the rows, one after the other, and are judged. Every end is a result: what
cannot be said is NO_DATA with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tidegate.domain.errors import TidegateError
from tidegate.domain.finding import Finding
from tidegate.domain.registry import Model
from tidegate.domain.replay import ReplayConfig, ReplayJob, ReplayResult
from tidegate.features.evidence.replay.answers import AnswerTerms, collect_output, find_width, read_reply
from tidegate.features.evidence.replay.outputs import (
    Numbers,
    ReplayedOutput,
    ReplayedOutputs,
    doubt_classes,
    find_outputs,
    join_results,
)
from tidegate.features.evidence.replay.replay_judge import judge_replay
from tidegate.features.evidence.replay.rows import read_rows
from tidegate.features.evidence.replay.scoring import run
from tidegate.features.evidence.replay.scoring.exchange import ScoringReply, ScoringRequest
from tidegate.features.evidence.replay.scoring.models import make_replica
from tidegate.rows.row_files import RowRequest, RowSet
from tidegate.settings import Settings

MOST_UNUSABLE = 0.005
"""Share of the rows that a version may leave without a usable answer; they are left out."""


def run_replay(job: ReplayJob, settings: Settings, environment: Mapping[str, str]) -> dict[str, ReplayResult]:
    """Replay the rows for each variant and return the results by variant. ``environment``: of this process."""
    try:
        found = read_rows(job.config, job.file_roots, (settings.s3_endpoint, settings.region))
    except TidegateError as error:
        lack = ReplayResult(Finding.NO_DATA, error.message)
        return {name: lack for name, _, _ in job.variants}
    return {name: _replay(job, found, models, settings, environment) for name, *models in job.variants}


def _replay(
    job: ReplayJob, found: RowSet, models: Sequence[Model], settings: Settings, environment: Mapping[str, str]
) -> ReplayResult:
    replies = list[list[ScoringReply]]()
    sent = [ScoringRequest(each.body, each.content_type) for each in found.requests]
    for side, model in zip(("old", "new"), models, strict=True):
        with TemporaryDirectory(prefix="tg-replay-") as folder:
            try:
                spec = make_replica(model, settings, Path(folder), Path(job.artifacts), job.file_roots)
                replies.append(run.score(spec, sent, Path(folder), environment, job.config.within))
            except TidegateError as error:
                return ReplayResult(Finding.NO_DATA, f"the {side} version cannot answer rows: {error.message}")
    result = judge_replies(found.requests, replies[0], replies[1], job.config, job.false_rollback_rate)
    skipped = {str(reason): count for reason, count in sorted(found.skipped.items())}
    return replace(result, skipped={**skipped, **result.skipped})


def judge_replies(
    requests: Sequence[RowRequest],
    old: Sequence[ScoringReply],
    new: Sequence[ScoringReply],
    config: ReplayConfig,
    false_rollback_rate: float,
) -> ReplayResult:
    """Judge the replies of both versions, each output of the models by itself. The rate of false rollbacks is divided
    among the outputs. A version that answers rows with something else than as many numbers as the other one has
    failed."""
    if not requests:
        return ReplayResult(Finding.NO_DATA, "there are no rows")
    width = 1 if config.score else find_width(requests, old)
    labels = [(one.label, *one.other_labels) for one in requests]
    if config.other_labels and width != len(labels[0]):
        said = f"there are {len(labels[0])} labels for each row, and {width} numbers in its answer"
        return ReplayResult(Finding.NO_DATA, said, len(requests))
    sides = [[read_reply(reply, width, config.score) for reply in replies] for replies in (old, new)]
    if (unusable := _judge_unusable(*sides)) is not None:
        return unusable
    outputs: ReplayedOutputs | str = ReplayedOutputs([ReplayedOutput("", 0, [first for first, *_ in labels])])
    if width > 1:
        outputs = find_outputs(labels, sides[0], (config.label, *config.other_labels), config.least_labels)
    if isinstance(outputs, str):
        return ReplayResult(Finding.NO_DATA, outputs, len(requests))
    rate = false_rollback_rate / len(outputs.judged)
    results = [_judge_output(one, requests, sides[0], sides[1], config, rate) for one in outputs.judged]
    if width > 1 and not config.other_labels:
        results = [doubt_classes(one) for one in results]
    return join_results(outputs, results, config)


def _judge_unusable(old: Sequence[Numbers | None], new: Sequence[Numbers | None]) -> ReplayResult | None:
    """Judge the answers that are not numbers; None if the others are enough."""
    count = len(old)
    lost = sum(one is None for one in old)
    if lost > MOST_UNUSABLE * count:
        said = f"{lost:,} of {count:,} answers of the old version are not a number for each row"
        advice = "'score' names the place of the score, or 'label' a column for each number of a list"
        return ReplayResult(Finding.NO_DATA, f"{said}; {advice}", count)
    broken = sum(before is not None and after is None for before, after in zip(old, new, strict=True))
    if broken > MOST_UNUSABLE * count:
        said = f"the new version has no number for {broken:,} of {count:,} rows, and the old one has"
        return ReplayResult(Finding.FAIL, said, count)
    return None


def _judge_output(
    output: ReplayedOutput,
    requests: Sequence[RowRequest],
    old: Sequence[Numbers | None],
    new: Sequence[Numbers | None],
    config: ReplayConfig,
    false_rollback_rate: float,
) -> ReplayResult:
    each = zip(requests, output.labels, old, new, strict=True)
    kept = [one for one in each if one[2] is not None and one[3] is not None]
    answers = collect_output(
        [request for request, *_ in kept],
        [before or [] for _, _, before, _ in kept],
        [after or [] for *_, after in kept],
        replace(output, labels=[label for _, label, *_ in kept]),
        AnswerTerms(config.score, config.by, (config.label, *config.other_labels)),
    )
    skipped = {"rows without usable answers": len(requests) - len(kept)} if len(kept) < len(requests) else {}
    if isinstance(answers, str):
        return ReplayResult(Finding.NO_DATA, answers, len(requests), skipped=skipped)
    judged = judge_replay(answers, config, false_rollback_rate)
    return replace(judged, skipped={**skipped, **judged.skipped})
