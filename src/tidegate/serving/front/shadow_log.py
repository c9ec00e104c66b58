"""Answers that are kept side by side: JSON lines in a file of the replica's own, bounded, written off the loop."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

BODY = 4096
"""Bytes of each body that are kept."""
LARGEST_FILE = 16 * 1024 * 1024
"""Bytes at which a file is put aside as ``.old``, over the one before; a replica keeps twice that at most."""
WAITING = 1024 * 1024
"""Bytes that may wait to be written; what comes then is not kept."""


@dataclass(frozen=True)
class Side:
    """One of the two answers. ``status`` is the model's own, 0 for none; ``latency`` is microseconds."""

    status: int
    latency: int
    body: bytes
    content_type: str = ""


class Pairs:
    """``add`` is for the event loop; ``write`` may block and belongs in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, at: float, request: tuple[bytes, str], sides: Sequence[Side], verdict: object) -> None:
        """``at`` is epoch seconds; ``request`` is the body and the inference id; ``sides`` are the original's answer
        and the shadow's."""
        if self._size > WAITING:
            return
        body, inference_id = request
        original, shadow = (_told(side) for side in sides)
        line = {"at": at, "inference_id": inference_id, "request": _text(body)}
        line |= {"original": original, "shadow": shadow, "comparison": verdict}
        self._lines.append(msgspec.json.encode(line))
        self._size += len(self._lines[-1])

    def take(self) -> list[bytes]:
        """What is to be written now."""
        lines, self._lines, self._size = self._lines, [], 0
        return lines

    def write(self, lines: Sequence[bytes]) -> None:
        """Raises OSError. Only the file's owner can read it: requests and answers may be anybody's secrets."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self._path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(b"".join(line + b"\n" for line in lines))
            full = file.tell() > LARGEST_FILE
        if full:
            self._path.replace(self._path.with_name(self._path.name + ".old"))


def _told(side: Side) -> dict[str, object]:
    return {
        "status": side.status,
        "latency_us": side.latency,
        "content_type": side.content_type,
        "body": _text(side.body),
    }


def _text(body: bytes) -> dict[str, object]:
    """Text as it is, anything else in base64; the beginning of what is long."""
    kept = body[:BODY]
    told: dict[str, object] = {"bytes": len(body)} if len(body) > BODY else {}
    try:
        return told | {"text": kept.decode()}
    except UnicodeDecodeError:
        return told | {"base64": base64.b64encode(kept).decode()}
