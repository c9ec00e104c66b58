"""Builds the responses of SageMaker Runtime, successes and errors, as bytes.

Errors have ``x-amzn-ErrorType`` and a JSON body with ``Message``, as AWS's clients expect. Constant header lines are
built once.
"""

import time
import uuid
from email.utils import formatdate
from http import HTTPStatus
from itertools import count

import msgspec

from tidegate.domain.errors import AuthError
from tidegate.serving.contract.invocation import Answer, ModelFailed, Rejected
from tidegate.serving.contract.replica_spec import ReplicaSpec

_REASONS = {status.value: status.phrase for status in HTTPStatus}
MESSAGE_LIMIT = 4096
"""Characters of a model's own message that the client gets."""
MODEL_ERROR = "ModelError"
RETRY_AFTER = 1
"""Seconds, sent with every 503."""
JSON = "application/json"
OK, NO_CONTENT = 200, 204
UNSPENT = b"x-tidegate-unspent: 1\r\n"
"""Header of rejections before authentication, which makes the proxy refund the client's rate-limit token. The proxy
removes it. Errors of a model never have it."""


def model_error(spec: ReplicaSpec, failed: ModelFailed) -> dict[str, object]:
    """The body of a ModelError."""
    side = "client" if 400 <= failed.status < 500 else "server"
    original = failed.message[:MESSAGE_LIMIT]
    body: dict[str, object] = {
        "Message": (
            f'Received {side} error ({failed.status}) from {failed.container} with message "{original}". See the'
            f" log group {spec.log_group} in account {spec.account} (tidegate logs {spec.fleet.endpoint}) for"
            " more information."
        ),
        "OriginalStatusCode": failed.status,
        "OriginalMessage": original,
        "LogStreamArn": spec.log_stream_arn,
    }
    if side == "client":
        body["ErrorCode"] = "CLIENT_ERROR_FROM_MODEL"
    return body


def platform_error(message: str) -> dict[str, object]:
    """The body of an error that is not the model's."""
    return {"Message": message, "message": message}


class Responses:
    """Builds the responses of one replica."""

    def __init__(self, spec: ReplicaSpec) -> None:
        self._spec = spec
        variant = spec.fleet.variant
        self._served = (
            f"x-Amzn-Invoked-Production-Variant: {variant}\r\nx-tidegate-config: {spec.config_name}\r\n".encode()
        )
        # Queues and jobs recognise an answer by its status.
        self._internal = spec.queued or any(container.transforms for container in spec.containers)
        self._starts: dict[tuple[int, str], bytes] = {}
        """Status and content type -> the head up to the counter of the request id; valid for a second."""
        self._second = 0
        self._prefix = str(uuid.uuid4())[:24]
        """Request ids have the form of UUIDs: a random prefix of this process and a counter."""
        self._numbers = count()

    def success(self, answer: Answer, close: bool) -> bytes:
        if not close and not answer.headers and answer.status == OK and int(time.time()) == self._second:
            start = self._starts.get((OK, answer.content_type))
            if start is not None:  # what most have, in one step
                body = answer.body
                return b"%b%012x\r\n%bcontent-length: %d\r\n\r\n%b" % (
                    start,
                    next(self._numbers),
                    self._served,
                    len(body),
                    body,
                )
        extra = self._served
        if answer.headers:
            extra += b"".join(b"%b: %b\r\n" % header for header in answer.headers)
        if answer.status == NO_CONTENT and not self._internal:
            return self._empty(answer, extra, close)
        return self._render_whole(OK, answer.content_type, extra, answer.body, close)

    def model_error(self, failed: ModelFailed, close: bool) -> bytes:
        """SageMaker's ModelError (424); ``ErrorCode`` is set for errors of the client."""
        if self._spec.raw_errors:
            status = failed.status if 400 <= failed.status < 600 else 500
            return self._render_whole(status, "text/plain", b"", failed.message[:MESSAGE_LIMIT].encode(), close)
        extra = self._served + f"x-amzn-ErrorType: {MODEL_ERROR}\r\n".encode()
        return self._render_whole(424, JSON, extra, msgspec.json.encode(model_error(self._spec, failed)), close)

    def error(self, status: int, name: str, message: str, close: bool, more: bytes = b"") -> bytes:
        """An error of the platform; ``name`` is its name in SageMaker Runtime, such as ValidationError. ``more``:
        further header lines, such as UNSPENT."""
        body = msgspec.json.encode(platform_error(message))
        return self._render_whole(status, JSON, f"x-amzn-ErrorType: {name}\r\n".encode() + more, body, close)

    def rejected(self, refusal: Rejected, close: bool) -> bytes:
        return self.error(refusal.status, refusal.name, refusal.message, close)

    def auth_error(self, error: AuthError, close: bool) -> bytes:
        name = error.code if error.code.endswith("Exception") else f"{error.code}Exception"
        return self.error(403, name, error.message, close, UNSPENT)

    def parts(
        self, content_type: str, headers: tuple[tuple[bytes, bytes], ...], chunked: bool, close: bool
    ) -> bytes:
        """The head of a streamed response: in chunks, or until the connection closes."""
        extra = self._served
        for name, value in headers:
            extra += b"%b: %b\r\n" % (name, value)
        return b"%b%012x\r\n%b%b%b\r\n" % (
            self._start(200, content_type),
            next(self._numbers),
            extra,
            b"transfer-encoding: chunked\r\n" if chunked else b"",
            b"connection: close\r\n" if close else b"",
        )

    def plain(self, status: int, body: bytes, close: bool, more: bytes = b"") -> bytes:
        return self._render_whole(status, JSON, more, body, close)

    def _render_whole(self, status: int, content_type: str, extra: bytes, body: bytes, close: bool) -> bytes:
        end = b"connection: close\r\n\r\n" if close else b"\r\n"
        return b"%b%012x\r\n%bcontent-length: %d\r\n%b%b" % (
            self._start(status, content_type),
            next(self._numbers),
            extra,
            len(body),
            end,
            body,
        )

    def _empty(self, answer: Answer, extra: bytes, close: bool) -> bytes:
        """A 204, without body and length."""
        return b"%b%012x\r\n%b%b" % (
            self._start(NO_CONTENT, answer.content_type),
            next(self._numbers),
            extra,
            b"connection: close\r\n\r\n" if close else b"\r\n",
        )

    def _start(self, status: int, content_type: str) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._starts.clear()
        made = self._starts.get((status, content_type))
        if made is not None:
            return made
        again = f"Retry-After: {RETRY_AFTER}\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
        start = (
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n{again}content-type: {content_type}\r\n"
            f"date: {formatdate(self._second, usegmt=True)}\r\nx-amzn-RequestId: {self._prefix}"
        )
        made = start.encode("latin-1")
        if len(self._starts) < 64:  # a program may return any number of content types
            self._starts[status, content_type] = made
        return made
