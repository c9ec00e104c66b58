"""The forms of answers and errors of the Open Inference Protocol: JSON, and gRPC by way of HTTP/1.1."""

from collections.abc import Callable

import msgspec

from tidegate.domain.errors import AuthError
from tidegate.serving.contract.invocation import Answer, ModelFailed, Outcome, Rejected, TimedOut
from tidegate.serving.formats import protobuf
from tidegate.serving.front.connection import Request
from tidegate.serving.front.response_formats import PlainFormat, openai_status
from tidegate.serving.front.responses import JSON, MESSAGE_LIMIT, UNSPENT, Responses
from tidegate.serving.scoring.batching import model_failure

GRPC_STATUS = {
    400: 3,  # INVALID_ARGUMENT
    401: 16,  # UNAUTHENTICATED
    403: 7,  # PERMISSION_DENIED
    404: 5,  # NOT_FOUND
    405: 12,  # UNIMPLEMENTED
    406: 3,
    408: 4,  # DEADLINE_EXCEEDED
    413: 8,  # RESOURCE_EXHAUSTED
    415: 12,
    422: 3,
    424: 13,
    429: 8,
    499: 1,  # CANCELLED
    500: 13,  # INTERNAL
    502: 14,
    503: 14,  # UNAVAILABLE
    504: 4,
}
"""Status of HTTP -> that of gRPC."""
UNKNOWN = 2
Encode = Callable[[Answer], Answer]
"""The protocol's answer of a native one; raises ModelFailed."""
Record = Callable[[Request, Outcome], tuple[Request, Outcome]]


class RestFormat(PlainFormat):
    """Errors are ``{"error": ...}`` with the model's own status. ``encode``: of one request; without it there are
    errors only."""

    bearer = True

    def __init__(
        self, responses: Responses, encode: Encode | None = None, exchange: "V2Exchange | None" = None
    ) -> None:
        super().__init__(responses)
        self._encode = encode
        self._exchange = exchange
        self.error = self._error
        self.refused = self._refused

    def whole(self, outcome: Answer | Rejected | ModelFailed, close: bool) -> bytes:
        if isinstance(outcome, Answer) and self._encode is not None:
            try:
                return self.answer(self._encode(outcome), close)
            except Exception as error:  # an answer that tensors cannot hold
                outcome = model_failure(error)
        if isinstance(outcome, Rejected):
            return self._error(outcome.status, outcome.name, outcome.message, close)
        assert isinstance(outcome, ModelFailed)
        status = 504 if isinstance(outcome, TimedOut) else openai_status(outcome)
        return self._error(status, "", outcome.message[:MESSAGE_LIMIT], close)

    def answer(self, answer: Answer, close: bool) -> bytes:
        """The response with what the protocol answers."""
        return self._responses.success(answer, close)

    def page(self, body: bytes, close: bool, status: int = 200) -> bytes:
        """The response that is no prediction."""
        return self._responses.plain(status, body, close)

    def readable(self, answer: Answer) -> Answer:
        return answer if self._exchange is None else self._exchange.readable(answer)

    def record(self, request: Request, outcome: Outcome) -> tuple[Request, Outcome]:
        return (request, outcome) if self._exchange is None else self._exchange.record(request, outcome)

    def _error(self, status: int, name: str, message: str, close: bool, more: bytes = b"") -> bytes:
        return self._responses.plain(status, msgspec.json.encode({"error": message}), close, more)

    def _refused(self, error: AuthError, close: bool) -> bytes:
        return self._error(401, error.code, error.message, close, UNSPENT)


class GrpcFormat(RestFormat):
    """Messages of gRPC in chunks, with the status after them."""

    def answer(self, answer: Answer, close: bool) -> bytes:
        return self._head(answer.headers, close) + protobuf.frame(answer.body)

    def page(self, body: bytes, close: bool, status: int = 200) -> bytes:
        return self._head((), close) + protobuf.frame(body)

    def _error(self, status: int, name: str, message: str, close: bool, more: bytes = b"") -> bytes:
        return self._head((), close) + protobuf.trailers(GRPC_STATUS.get(status, UNKNOWN), message)

    def _head(self, headers: tuple[tuple[bytes, bytes], ...], close: bool) -> bytes:
        return self._responses.parts(protobuf.CONTENT_TYPE, headers, chunked=True, close=close)


class V2Exchange:
    """One request in the native API, as an array where one is possible; and, for what reads requests and answers, as
    JSON."""

    def __init__(
        self, readable_request: Callable[[], tuple[bytes, str]], readable: Callable[[Answer, int | None], Answer]
    ) -> None:
        self._request = readable_request
        self._readable = readable

    def readable(self, answer: Answer) -> Answer:
        return self._readable(answer, 1)

    def record(self, request: Request, outcome: Outcome) -> tuple[Request, Outcome]:
        body, content_type = self._request()
        headers = with_headers(request, content_type, JSON)
        known = msgspec.structs.replace(request, body=body, headers=headers, fields=dict(headers))
        return known, self._readable(outcome, None) if isinstance(outcome, Answer) else outcome


DROPPED = frozenset(
    (
        b"content-type",
        b"accept",
        b"content-length",
        b"transfer-encoding",
        b"content-encoding",
        b"te",
        b"trailer",
        b"expect",
    )
)
"""Headers about the body and the connection of a request in the protocol, which say nothing of the native one."""


def with_headers(request: Request, content_type: str, accept: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a request with another body."""
    kept = (
        one
        for one in request.headers
        if one[0] not in DROPPED and not one[0].startswith((b"grpc-", b"inference-header-"))
    )
    return (*kept, (b"content-type", content_type.encode()), (b"accept", accept.encode()))
