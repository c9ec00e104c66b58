"""One line of captured data, in SageMaker's form: what was asked, what was answered, when, and under which id.

Lines are made for every request, so what many of them have in common is made once.
"""

import base64
from collections.abc import Collection
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec

CSV, JSON, BASE64 = "CSV", "JSON", "BASE64"
INPUT, OUTPUT = "INPUT", "OUTPUT"
_encode = msgspec.json.Encoder().encode
_FRAMES = 256
"""Pairs of content types whose frames are kept."""


class Body(NamedTuple):
    """A body to be written. ``encoding``: CSV, JSON or BASE64; ``data`` is never base64 yet."""

    data: bytes
    content_type: str
    encoding: str


Kind = tuple[str, str] | None
"""Content type and encoding of a side that is written."""


class Encodings:
    """Chooses how a body is written, by its media type."""

    def __init__(self, csv: Collection[str], json: Collection[str]) -> None:
        self._known = {kind.lower(): CSV for kind in csv} | {kind.lower(): JSON for kind in json}

    def choose(self, content_type: str) -> str:
        return self._known.get(content_type.partition(";")[0].strip().lower(), BASE64)


class LineFrame(NamedTuple):
    """The constant text before, between and after the data of the two sides, and the encoding of each; None: the side
    is left out."""

    before: bytes
    between: bytes
    after: bytes
    sent: str | None
    answered: str | None


@lru_cache(maxsize=_FRAMES)
def make_frame(sent: Kind, answered: Kind, config: str = "", prediction: str = "") -> LineFrame:
    """Make the frame for a pair of sides. ``config``: name of the endpoint config that answered; ``prediction``: path
    of the prediction in the answer. Both are members of ours; empty: they are left out."""
    sides = [
        (name, mode, kind)
        for name, mode, kind in (("endpointInput", INPUT, sent), ("endpointOutput", OUTPUT, answered))
        if kind is not None
    ]
    parts = ['{"captureData":{']
    for number, (name, mode, (content_type, encoding)) in enumerate(sides):
        shown = _encode(content_type).decode()
        if prediction and mode == OUTPUT:
            shown += f',"predictionPath":{_encode(prediction).decode()}'
        parts[-1] += f'{"," if number else ""}"{name}":{{"observedContentType":{shown},"mode":"{mode}","data":'
        parts.append(f',"encoding":"{encoding}"}}')
    version = f'"configName":{_encode(config).decode()},' if config else ""
    parts[-1] += f'}},"eventMetadata":{{{version}"eventId":"'
    pieces = [part.encode() for part in parts]
    if answered is None:
        pieces.insert(1, b"")  # nothing stands between
    elif sent is None:
        pieces.insert(0, b"")
    before, between, after = pieces if len(sides) != 0 else (pieces[0], b"", b"")
    return LineFrame(before, between, after, sent and sent[1], answered and answered[1])


def encode_line(frame: LineFrame, sent: bytes, answered: bytes, id: bytes, about: bytes) -> bytes:
    """One line with its line break. ``about``: of ``format_about``. Raises UnicodeDecodeError for data that is not
    text, but is to be written as text."""
    return b"%b%b%b%b%b%b%b" % (
        frame.before,
        _text(sent, frame.sent),
        frame.between,
        _text(answered, frame.answered),
        frame.after,
        id,
        about,
    )


def _text(data: bytes, encoding: str | None) -> bytes:
    """The data as a string of JSON."""
    if encoding is None:
        return b""
    if encoding == BASE64:
        return b'"%b"' % base64.b64encode(data)
    return _encode(data.decode())


def format_about(at: int, inference_id: str, attributes: str) -> bytes:
    """The end of a line, from the event's id on. ``at``: epoch seconds; ``attributes``: the client's own."""
    if not inference_id and not attributes:
        return _format_plain(at)
    about = '",'
    if attributes:
        about += f'"customAttributes":[{_encode(attributes).decode()}],'
    if inference_id:
        about += f'"inferenceId":{_encode(inference_id).decode()},'
    return about.encode() + _format_plain(at)[2:]


@lru_cache(maxsize=64)
def _format_plain(at: int) -> bytes:
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'","inferenceTime":"{moment}"}},"eventVersion":"0"}}\n'.encode()
