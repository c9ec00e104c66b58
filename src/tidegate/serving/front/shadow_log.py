"""Logs pairs of answers as JSON Lines, in a file of the replica with a bounded size, written off the event loop."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

BODY = 4096
"""Bytes of each body that are logged."""
LARGEST_FILE = 16 * 1024 * 1024
"""Bytes at which the file is rotated to ``.old``; a replica keeps at most twice as much."""
WAITING = 1024 * 1024
"""Most bytes that wait to be written; further pairs are dropped."""


@dataclass(frozen=True)
class ShadowSide:
    """One of the two answers. ``status`` is the model's own, 0 for none; ``latency`` is microseconds."""

    status: int
    latency: int
    body: bytes
    content_type: str = ""


class ShadowLog:
    """The log of one replica. Call ``add`` on the event loop; ``write`` may block and belongs in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, at: float, request: tuple[bytes, str], sides: Sequence[ShadowSide], verdict: object) -> None:
        """Add a pair. ``at``: epoch seconds; ``request``: the body and the inference id; ``sides``: the original's
        answer and the shadow's."""
        if self._size > WAITING:
            return
        body, inference_id = request
        original, shadow = sides
        line = _encode(_Line(at, inference_id, _text(body), _document(original), _document(shadow), verdict))
        self._lines.append(line)
        self._size += len(line)

    def take(self) -> list[bytes]:
        """Take the lines to write."""
        lines, self._lines, self._size = self._lines, [], 0
        return lines

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines. Raises OSError. Only the owner can read the file: requests and answers may be secret."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self._path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(b"".join(line + b"\n" for line in lines))
            full = file.tell() > LARGEST_FILE
        if full:
            self._path.replace(self._path.with_name(self._path.name + ".old"))


class _Text(msgspec.Struct, omit_defaults=True):
    bytes: int = 0
    """The length, if not all is there."""
    text: str | None = None
    base64: str | None = None


class _Side(msgspec.Struct):
    status: int
    latency_us: int
    content_type: str
    body: _Text


class _Line(msgspec.Struct):
    at: float
    inference_id: str
    request: _Text
    original: _Side
    shadow: _Side
    comparison: object


_encode = msgspec.json.Encoder().encode


def _document(side: ShadowSide) -> _Side:
    return _Side(side.status, side.latency, side.content_type, _text(side.body))


def _text(body: bytes) -> _Text:
    """A body for JSON: text unchanged, anything else in base64; long ones are truncated."""
    kept = body[:BODY]
    length = len(body) if len(body) > BODY else 0
    try:
        return _Text(length, kept.decode())
    except UnicodeDecodeError:
        return _Text(length, None, base64.b64encode(kept).decode())
