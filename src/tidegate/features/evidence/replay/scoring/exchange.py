"""Files in the folder that a scoring process and its caller share."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from tidegate.domain.decoding import prepare_type

TOGETHER = 64
"""Requests that are asked together, as a server would score those that come together."""
REPLICA, REQUESTS, REPLIES, FAILURE = "replica.json", "requests.jsonl", "replies.jsonl", "failure.json"


class ScoringRequest(msgspec.Struct, array_like=True, frozen=True):
    body: bytes
    content_type: str


class ScoringReply(msgspec.Struct, array_like=True, frozen=True):
    """``problem`` says why there is no answer; empty if there is one."""

    body: bytes
    content_type: str
    problem: str = ""


def write_lines(path: Path, records: Iterable[msgspec.Struct]) -> None:
    """Raises OSError."""
    with path.open("wb") as file:
        for record in records:
            file.write(msgspec.json.encode(record) + b"\n")


def read_requests(path: Path) -> Iterator[ScoringRequest]:
    decoder = msgspec.json.Decoder(prepare_type(ScoringRequest))
    with path.open("rb") as file:
        yield from map(decoder.decode, file)


def read_replies(path: Path) -> list[ScoringReply]:
    """Raises OSError, or msgspec.DecodeError for a file that is not whole."""
    decoder = msgspec.json.Decoder(prepare_type(ScoringReply))
    with path.open("rb") as file:
        return list(map(decoder.decode, file))
