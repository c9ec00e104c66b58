"""The three APIs for a prediction, and the form of their responses; ``further_protocol`` adds others.

``PlainFormat`` is InvokeEndpoint, ``EventStreamFormat`` is InvokeEndpointWithResponseStream, ``OpenAIFormat`` is
OpenAI's API. Each builds whole responses, and the pieces of a response in parts.
"""

from typing import Protocol

import msgspec

from tidegate.domain.errors import AuthError
from tidegate.serving.contract.invocation import Answer, ModelFailed, Outcome, Rejected, Stream, TimedOut
from tidegate.serving.front import event_stream
from tidegate.serving.front.connection import Request
from tidegate.serving.front.responses import MESSAGE_LIMIT, UNSPENT, Responses

SSE = "text/event-stream"
TIMED_OUT = "ModelInvocationTimeExceeded"
BROKEN = "StreamBroken"
"""ErrorCodes of a ModelStreamError."""

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ResponseFormat(Protocol):
    """Builds responses of one API. ``close``: the connection closes after the response."""

    parts: bool
    """Whether the client accepts streams; otherwise their parts are joined."""
    bearer: bool
    """Whether clients may send a key itself, as they cannot sign."""
    copied: bool
    """Whether the request is one of the native API, or was made one, so that it can be copied."""

    def whole(self, outcome: Answer | Rejected | ModelFailed, close: bool) -> bytes: ...

    def error(self, status: int, name: str, message: str, close: bool, more: bytes = b"") -> bytes:
        """An error of the platform; ``more``: further header lines."""
        ...

    def refused(self, error: AuthError, close: bool) -> bytes: ...

    def start(self, stream: Stream, chunked: bool, close: bool) -> bytes:
        """The head of a streamed response."""
        ...

    def part(self, data: bytes) -> bytes:
        """A part of the body; not empty."""
        ...

    def broken(self, stream: Stream, failed: ModelFailed) -> bytes | None:
        """The end of the body of a failed stream. None: the format has no error, so close the connection."""
        ...

    def readable(self, answer: Answer) -> Answer:
        """The answer in a form in which its first number can be found."""
        ...

    def record(self, request: Request, outcome: Outcome) -> tuple[Request, Outcome]:
        """Request and answer as captures and copies have them."""
        ...


class PlainFormat:
    parts = False
    bearer = False
    copied = True

    def __init__(self, responses: Responses) -> None:
        self._responses = responses
        self.error = responses.error
        self.refused = responses.auth_error

    def whole(self, outcome: Answer | Rejected | ModelFailed, close: bool) -> bytes:
        if isinstance(outcome, Answer):
            return self._responses.success(outcome, close)
        if isinstance(outcome, Rejected):
            return self._responses.rejected(outcome, close)
        return self._responses.model_error(outcome, close)

    def start(self, stream: Stream, chunked: bool, close: bool) -> bytes:
        return self._responses.parts(stream.content_type, stream.headers, chunked, close)

    def part(self, data: bytes) -> bytes:
        return data

    def broken(self, stream: Stream, failed: ModelFailed) -> bytes | None:
        return None

    def readable(self, answer: Answer) -> Answer:
        return answer

    def record(self, request: Request, outcome: Outcome) -> tuple[Request, Outcome]:
        return request, outcome


class EventStreamFormat(PlainFormat):
    parts = True
    copied = False

    def whole(self, outcome: Answer | Rejected | ModelFailed, close: bool) -> bytes:
        if isinstance(outcome, Answer):
            body = b"".join(event_stream.payload_parts(outcome.body))
            outcome = Answer(body, event_stream.CONTENT_TYPE, _model_content_type(outcome))
        return super().whole(outcome, close)

    def start(self, stream: Stream, chunked: bool, close: bool) -> bytes:
        return self._responses.parts(event_stream.CONTENT_TYPE, _model_content_type(stream), chunked, close)

    def part(self, data: bytes) -> bytes:
        return b"".join(event_stream.payload_parts(data))

    def broken(self, stream: Stream, failed: ModelFailed) -> bytes | None:
        code = TIMED_OUT if isinstance(failed, TimedOut) else BROKEN
        return event_stream.failure(code, failed.message[:MESSAGE_LIMIT])


class OpenAIFormat(PlainFormat):
    """Errors have the model's own status, because clients retry by it."""

    parts = True
    bearer = True
    copied = False

    def __init__(self, responses: Responses) -> None:
        super().__init__(responses)
        self.error = self._error
        self.refused = self._render_refusal

    def whole(self, outcome: Answer | Rejected | ModelFailed, close: bool) -> bytes:
        if isinstance(outcome, Rejected):
            return self._error(outcome.status, outcome.name, outcome.message, close)
        if isinstance(outcome, ModelFailed):
            status, body = _failure(outcome)
            return self._responses.plain(status, body, close)
        return super().whole(outcome, close)

    def broken(self, stream: Stream, failed: ModelFailed) -> bytes | None:
        """An event with the error, after the end of an event that may be incomplete."""
        if stream.content_type.partition(";")[0].strip().lower() != SSE:
            return None
        return b"\n\ndata: %b\n\n" % _failure(failed)[1]

    def _error(self, status: int, name: str, message: str, close: bool, more: bytes = b"") -> bytes:
        return self._responses.plain(status, _error(status, name, message), close, more)

    def _render_refusal(self, error: AuthError, close: bool) -> bytes:
        return self._error(401, "invalid_api_key", error.message, close, UNSPENT)


def _model_content_type(answer: Answer | Stream) -> tuple[tuple[bytes, bytes], ...]:
    """The model's content type in a header of its own, because the body's is that of the event stream."""
    return *answer.headers, (b"X-Amzn-SageMaker-Content-Type", answer.content_type.encode("latin-1"))


def openai_status(failed: ModelFailed) -> int:
    """The status of an error of the model: no answer is 502, or 504 after a timeout; one that is no error is 500."""
    if 400 <= failed.status <= 599:
        return failed.status
    return 504 if isinstance(failed, TimedOut) else 500 if failed.status else 502


def _failure(failed: ModelFailed) -> tuple[int, bytes]:
    """Status and body."""
    status = openai_status(failed)
    return status, _error(status, "model_error", failed.message[:MESSAGE_LIMIT])


def _error(status: int, code: str, message: str) -> bytes:
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})
