"""Cuts the prediction out of answers that have more in them, for all who read answers as numbers."""

from collections.abc import Callable

import msgspec

from tidegate.domain.prediction_path import PredictionPath, parse_path
from tidegate.serving.contract.invocation import Answer
from tidegate.serving.contract.replica_spec import ReplicaSpec

LARGEST = 256 * 1024
"""Bytes of an answer above which it is not parsed, as that would delay other requests."""
Cut = Callable[[Answer], Answer]


def make_cut(spec: ReplicaSpec) -> Cut:
    """Make the function that cuts the prediction out of a replica's answers. Where its model names no path, answers
    stay as they are."""
    if not spec.prediction:
        return leave_whole
    path = parse_path(spec.prediction)
    return lambda answer: answer._replace(body=cut_prediction(answer.body, answer.content_type, path))


def cut_prediction(body: bytes, content_type: str, path: PredictionPath) -> bytes:
    """Return the JSON of what is at the path, as a list if that may be several; empty if there is nothing, or the
    answer is no JSON. An empty answer has no prediction, for whoever reads it."""
    if not content_type.partition(";")[0].strip().lower().endswith("json") or len(body) > LARGEST:
        return b""
    try:
        found = path.find(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    return msgspec.json.encode(found if path.many else found[0]) if found else b""


def leave_whole(answer: Answer) -> Answer:
    """Return the answer as it is: all of it is the prediction."""
    return answer
