"""Load the model of ``replica.json`` and answer ``requests.jsonl`` (``python -m
tidegate.features.evidence.replay.scoring FOLDER PARENT_PID``).

Exit status 0: ``replies.jsonl`` is whole; 1: ``failure.json`` says why not.
"""

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from tidegate.domain.errors import TidegateError
from tidegate.features.evidence.replay.scoring.exchange import (
    REPLICA,
    REPLIES,
    REQUESTS,
    TOGETHER,
    ScoringReply,
    ScoringRequest,
    read_requests,
    write_lines,
)
from tidegate.host.parent_process import end_with
from tidegate.serving.aws_lambda.loop_model import LoopModel
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed, Rejected
from tidegate.serving.contract.replica_spec import Failure, read, write_failure
from tidegate.serving.formats.prediction_cut import Cut, make_cut


def main(arguments: list[str]) -> int:
    folder, parent = Path(arguments[0]), int(arguments[1])
    end_with(parent)
    try:
        spec = read(folder / REPLICA)
        model = LoopModel(spec, spec.startup_timeout)
    except TidegateError as error:
        write_failure(folder / REPLICA, Failure(error.code, error.message, permanent=True))
        return 1
    try:
        replies = _answer(model, read_requests(folder / REQUESTS), spec.invocation_timeout, make_cut(spec))
        write_lines(folder / REPLIES, replies)
    finally:
        model.close()
    return 0


def _answer(
    model: LoopModel, requests: Iterable[ScoringRequest], seconds: float, cut: Cut
) -> Iterator[ScoringReply]:
    waiting = iter(requests)
    while group := list(islice(waiting, TOGETHER)):
        calls = [
            Call(each.body, {b"content-type": each.content_type.encode("latin-1", "replace")}) for each in group
        ]
        yield from (_reply(outcome, cut) for outcome in model.ask(calls, seconds))


def _reply(outcome: Answer | Rejected | ModelFailed, cut: Cut) -> ScoringReply:
    if isinstance(outcome, Answer):
        return ScoringReply(cut(outcome).body, outcome.content_type)
    return ScoringReply(b"", "", outcome.message or f"status {outcome.status}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
