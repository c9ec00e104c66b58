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
from tidegate.features.evidence.replay.answers import AnswerTerms, collect_answers
from tidegate.features.evidence.replay.outputs import ReplayedOutput, find_outputs, join_results
from tidegate.features.evidence.replay.replay_judge import judge_replay
from tidegate.features.evidence.replay.rows import read_rows
from tidegate.features.evidence.replay.scoring import run
from tidegate.features.evidence.replay.scoring.exchange import ScoringReply, ScoringRequest
from tidegate.features.evidence.replay.scoring.models import make_replica
from tidegate.rows.row_files import RowRequest, RowSet
from tidegate.rows.scores import read_scores
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
    among the outputs. A version that answers rows with something else than numbers, where the other has numbers, has
    failed."""
    if not requests:
        return ReplayResult(Finding.NO_DATA, "there are no rows")
    outputs = find_outputs(requests, old, config)
    if isinstance(outputs, str):
        return ReplayResult(Finding.NO_DATA, outputs, len(requests))
    rate = false_rollback_rate / len(outputs)
    return join_results([(one, _judge_output(one, requests, old, new, config, rate)) for one in outputs])


def _judge_output(
    output: ReplayedOutput,
    requests: Sequence[RowRequest],
    old: Sequence[ScoringReply],
    new: Sequence[ScoringReply],
    config: ReplayConfig,
    false_rollback_rate: float,
) -> ReplayResult:
    usable = [[_is_usable(reply, output.where) for reply in replies] for replies in (old, new)]
    lost = len(requests) - sum(usable[0])
    if lost > MOST_UNUSABLE * len(requests):
        said = f"{lost:,} of {len(requests):,} answers of the old version are not a number for each row"
        help = "'score' names the place of the score, or 'label' a column for each of several numbers"
        return ReplayResult(Finding.NO_DATA, f"{said}; {help}", len(requests))
    broken = sum(before and not after for before, after in zip(*usable, strict=True))
    if broken > MOST_UNUSABLE * len(requests):
        said = f"the new version has no number for {broken:,} of {len(requests):,} rows, and the old one has"
        return ReplayResult(Finding.FAIL, said, len(requests))
    kept = [place for place, both in enumerate(zip(*usable, strict=True)) if all(both)]
    answers = collect_answers(
        [replace(requests[place], label=output.labels[place]) for place in kept],
        [old[place] for place in kept],
        [new[place] for place in kept],
        AnswerTerms(output.where, config.by, True),
    )
    skipped = {"rows without usable answers": len(requests) - len(kept)} if len(kept) < len(requests) else {}
    if isinstance(answers, str):
        return ReplayResult(Finding.NO_DATA, answers, len(requests), skipped=skipped)
    judged = judge_replay(answers, config, false_rollback_rate)
    return replace(judged, skipped={**skipped, **judged.skipped})


def _is_usable(reply: ScoringReply, where: str | int) -> bool:
    return not reply.problem and bool(read_scores(reply.body, reply.content_type, where))
