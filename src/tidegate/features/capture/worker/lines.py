"""Makes the line of a captured request: as it was sent and answered, or without personal data."""

from collections.abc import Mapping
from functools import lru_cache
from itertools import count
from typing import NamedTuple
from uuid import uuid4

from tidegate.domain.capture import Capture
from tidegate.features.capture.records import (
    BASE64,
    Body,
    Encodings,
    LineFrame,
    encode_line,
    format_about,
    make_frame,
)
from tidegate.features.capture.redaction import Redactor
from tidegate.serving.contract.invocation import Answer

LONGEST_HEADER = 1024
"""Characters of an inference id and of custom attributes, as SageMaker has it."""


class CapturedExchange(NamedTuple):
    """``arrived``: epoch microseconds; ``headers``: of the request; ``streamed``: the answer came in parts;
    ``omitted``: it is not written."""

    arrived: int
    headers: Mapping[bytes, bytes]
    body: bytes
    answer: Answer
    streamed: bool = False
    omitted: bool = False


class LineMaker:
    """``redactor`` None: bodies are written as they are. ``config``: name of the endpoint config that answers;
    ``prediction``: path of the prediction in its answers."""

    def __init__(self, plan: Capture, redactor: Redactor | None, config: str = "", prediction: str = "") -> None:
        self._plan, self._redactor, self._ours = plan, redactor, (config, prediction)
        self._encodings = Encodings(plan.csv, plan.json)
        self._prefix, self._numbers = str(uuid4())[:24].encode(), count()
        """The id of an event is a UUID whose first part is this maker's own and whose last one counts."""
        self._frame = lru_cache(maxsize=256)(self._choose_frame)

    def make(self, exchange: CapturedExchange) -> bytes | None:
        """The line, with its line break; None if nothing of it may be written."""
        arrived, headers, sent, answer, streamed, omitted = exchange
        answered, content_type = answer.body, headers.get(b"content-type", b"")
        if self._redactor is None:
            frame = self._frame(content_type, None if omitted else answer.content_type)
        else:
            sides = self._redact(
                self._redactor, sent, content_type.decode("latin-1"), None if omitted else answer, streamed
            )
            if sides is None:
                return None
            frame, sent, answered = sides
        inference_id = self._header(headers.get(b"x-amzn-sagemaker-inference-id"))
        attributes = self._header(headers.get(b"x-amzn-sagemaker-custom-attributes"))
        about = format_about(arrived // 1_000_000, inference_id, attributes)
        id = b"%b%012x" % (self._prefix, next(self._numbers))
        try:
            return encode_line(frame, sent, answered, id, about)
        except UnicodeDecodeError:
            frame = _as_bytes(frame, content_type, answer, self._ours)
            return encode_line(frame, sent, answered, id, about)

    def show(self, body: bytes, content_type: str) -> str:
        """Return the body of a request as its line has it; empty if the line does not have it as text."""
        encoding = self._encodings.choose(content_type)
        if not self._plan.inputs or encoding == BASE64:
            return ""
        if self._redactor is None:
            return _decode(body)
        made = self._redactor.redact(Body(body, content_type, encoding), True)
        return "" if made is None else _decode(made.data)

    def clean(self, text: str) -> str:
        """Return a text of an answer without what the detectors find in it; empty where they drop it whole."""
        return text if self._redactor is None else self._redactor.answer(text)

    def _choose_frame(self, sent: bytes, answered: str | None) -> LineFrame:
        """Choose the frame for requests that are written as they are, by their content types. ``answered`` None: the
        answer is left out."""
        plan, given = self._plan, sent.decode("latin-1")
        return make_frame(
            (given, self._encodings.choose(given)) if plan.inputs else None,
            (answered, self._encodings.choose(answered)) if plan.outputs and answered is not None else None,
            *self._ours,
        )

    def _redact(
        self, redactor: Redactor, sent: bytes, content_type: str, answer: Answer | None, streamed: bool
    ) -> tuple[LineFrame, bytes, bytes] | None:
        """Redact both sides, and return their frame and data. None: neither side may be written."""
        plan, choose = self._plan, self._encodings.choose
        sides: list[Body | None] = [None, None]
        if plan.inputs:
            sides[0] = redactor.redact(Body(sent, content_type, choose(content_type)), True)
        if plan.outputs and answer is not None:
            body = Body(answer.body, answer.content_type, choose(answer.content_type))
            sides[1] = redactor.redact(body, False, lines=not streamed)
        if sides == [None, None]:
            return None
        first, second = ((one.content_type, one.encoding) if one is not None else None for one in sides)
        inputs, outputs = (one.data if one is not None else b"" for one in sides)
        return make_frame(first, second, *self._ours), inputs, outputs

    def _header(self, value: bytes | None) -> str:
        if not value:
            return ""
        text = _decode(value)
        # An identity that is cut in two would not be found.
        return (text if self._redactor is None else self._redactor.text(text))[:LONGEST_HEADER]


def _decode(value: bytes) -> str:
    """Decode a header value as UTF-8 if possible, else as Latin-1. In Latin-1, letters of UTF-8 would become
    characters that no detector recognises as letters."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _as_bytes(frame: LineFrame, sent: bytes, answer: Answer, ours: tuple[str, str]) -> LineFrame:
    """The same for data of which not all is text, whatever its content type says."""
    return make_frame(
        (sent.decode("latin-1"), BASE64) if frame.sent is not None else None,
        (answer.content_type, BASE64) if frame.answered is not None else None,
        *ours,
    )
