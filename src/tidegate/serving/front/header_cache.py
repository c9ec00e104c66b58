"""A cache of parsed request heads.

Requests of one client, or of many similar ones, differ only in the body and in the proxy's time stamp, which is the
last header. So the head without the stamp is the key. Requests to a multi-model endpoint differ in the model, too, of
which there may be thousands: that header is cut out of the key. Only heads of a strict form are cached: HTTP/1.1,
POST, lower-case names, one Content-Length, and nothing that changes framing or the connection. All others are parsed.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from tidegate.serving.contract import target_headers
from tidegate.serving.contract.invocation import PATH
from tidegate.serving.front import sessions

STAMP = b"x-tidegate-start"
"""Epoch microseconds at which the proxy received the request."""
_MARK = b"\r\n" + STAMP + b": "
_MODEL = b"\r\n" + target_headers.MODEL + b": "
_KEPT = 256
_LONGEST = 4096
"""Most bytes of a cached head."""
_VALUE = rb"(?:[!-~](?:[ -~]*[!-~])?)?"
_PLAIN = re.compile(rb"POST (/[!-~]*) HTTP/1\.1((?:\r\n[a-z0-9-]+: %b)*)" % _VALUE)
_WHOLE_VALUE = re.compile(_VALUE)
_HEADER = re.compile(rb"\r\n([a-z0-9-]+): (%b)" % _VALUE)
_FRAMING = frozenset(
    (b"transfer-encoding", b"connection", b"upgrade", b"expect", b"te", b"trailer", b"keep-alive")
)
"""Headers that only the parser handles."""
_LENGTH = re.compile(rb"\d{1,12}")
ONCE = frozenset((b"authorization", b"traceparent"))
"""Headers whose value occurs once: heads with one of them would only drive the others out."""
_CHOOSING = target_headers.HEADERS | {PATH, sessions.HEADER}


class RequestHead(NamedTuple):
    url: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    fields: dict[bytes, bytes]
    """The headers by name. Shared by all requests with this head: do not change."""
    length: int
    """Bytes of the body."""
    plain: bool
    """A plain InvokeEndpoint: nothing in the head chooses a model or another API, or exceeds its limits."""


class HeaderCache:
    """The cache of one server. ``plain_paths``: the request targets of a plain InvokeEndpoint."""

    def __init__(self, plain_paths: Collection[bytes]) -> None:
        self._plain_paths = frozenset(plain_paths)
        self._known: dict[bytes, RequestHead] = {}

    @property
    def known(self) -> int:
        """Number of cached heads."""
        return len(self._known)

    def find(self, data: bytes) -> tuple[RequestHead, bytes, int] | None:
        """The head that ``data`` begins with, its stamp, and the offset of the body; None if it has to be parsed."""
        end = data.find(b"\r\n\r\n", 0, _LONGEST)
        at = data.rfind(_MARK, 0, end) if end > 0 else -1
        if at < 0:
            return None
        stamp = data[at + len(_MARK) : end]
        if not stamp.isdigit():
            return None
        model, text = data.find(_MODEL, 0, at), data[:at]
        head = self._known.get(text) if model < 0 else self._for_model(text, model)
        if head is None and model < 0:
            head = self._parse(text)
        return (head, stamp, end + 4) if head is not None else None

    def _for_model(self, text: bytes, at: int) -> RequestHead | None:
        """The head of a request that names its model in the header at ``at``: that of all such requests, and its own
        model."""
        begin = at + len(_MODEL)
        end = text.find(b"\r\n", begin)
        if end < 0:
            end = len(text)
        model = text[begin:end]
        rest = text[:at] + text[end:]
        head = self._known.get(rest) or self._parse(rest)
        if head is None or target_headers.MODEL in head.fields or _WHOLE_VALUE.fullmatch(model) is None:
            return None
        before = text.count(b"\r\n", 0, at)
        headers = (*head.headers[:before], (target_headers.MODEL, model), *head.headers[before:])
        return RequestHead(head.url, headers, {**head.fields, target_headers.MODEL: model}, head.length, False)

    def _parse(self, text: bytes) -> RequestHead | None:
        matched = _PLAIN.fullmatch(text)
        if matched is None:
            return None
        headers = tuple(_HEADER.findall(matched[2]))
        fields = dict(headers)
        length = fields.get(b"content-length", b"0")
        if len(fields) != len(headers) or not _FRAMING.isdisjoint(fields) or not _LENGTH.fullmatch(length):
            return None
        plain = matched[1] in self._plain_paths and _CHOOSING.isdisjoint(fields)
        plain = plain and target_headers.find_violation(fields) is None
        head = RequestHead(matched[1], headers, fields, int(length), plain)
        if ONCE.isdisjoint(fields):
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[text] = head
        return head
