"""Request heads that were seen before are not parsed again.

What the proxy sends of one client, or of many alike, differs from request to request in the body and in the stamp,
which is the last header. So the head without its stamp is looked up whole. Only heads of a strict, plain form are
taken up: HTTP/1.1, POST, lower-case names, one Content-Length and nothing that changes how a message is framed or
its connection used. All others go through the parser, every time.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from tidegate.serving.contract import target_headers
from tidegate.serving.contract.invocation import PATH
from tidegate.serving.front import sessions

STAMP = b"x-tidegate-start"
"""Epoch microseconds at which the proxy had the request."""
_MARK = b"\r\n" + STAMP + b": "
_KEPT = 256
_LONGEST = 4096
"""Bytes of a head that is remembered."""
_VALUE = rb"(?:[!-~](?:[ -~]*[!-~])?)?"
_PLAIN = re.compile(rb"POST (/[!-~]*) HTTP/1\.1((?:\r\n[a-z0-9-]+: %b)*)" % _VALUE)
_HEADER = re.compile(rb"\r\n([a-z0-9-]+): (%b)" % _VALUE)
_FRAMING = frozenset(
    (b"transfer-encoding", b"connection", b"upgrade", b"expect", b"te", b"trailer", b"keep-alive")
)
"""Headers of which one is enough for the parser to look."""
_LENGTH = re.compile(rb"\d{1,12}")
_CHOOSING = target_headers.HEADERS | {PATH, sessions.HEADER}


class Head(NamedTuple):
    url: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    fields: dict[bytes, bytes]
    """The headers by name, for all requests with this head: not to be changed."""
    length: int
    """Bytes of the body."""
    plain: bool
    """A prediction asked for in the plain way: nothing in the head chooses a model or a manner."""


class Heads:
    """For one server. ``plain_paths``: the targets by which it is asked for a prediction in the plain way."""

    def __init__(self, plain_paths: Collection[bytes]) -> None:
        self._plain_paths = frozenset(plain_paths)
        self._known: dict[bytes, Head] = {}

    @property
    def known(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def find(self, data: bytes) -> tuple[Head, bytes, int] | None:
        """The head that ``data`` begins with, its stamp, and where its body begins; None where the parser has to
        look."""
        end = data.find(b"\r\n\r\n", 0, _LONGEST)
        at = data.rfind(_MARK, 0, end) if end > 0 else -1
        if at < 0:
            return None
        stamp = data[at + len(_MARK) : end]
        if not stamp.isdigit():
            return None
        head = self._known.get(data[:at])
        if head is None:
            head = self._take_up(data[:at])
        return (head, stamp, end + 4) if head is not None else None

    def _take_up(self, text: bytes) -> Head | None:
        matched = _PLAIN.fullmatch(text)
        if matched is None:
            return None
        headers = tuple(_HEADER.findall(matched[2]))
        fields = dict(headers)
        length = fields.get(b"content-length", b"0")
        if len(fields) != len(headers) or not _FRAMING.isdisjoint(fields) or not _LENGTH.fullmatch(length):
            return None
        plain = matched[1] in self._plain_paths and _CHOOSING.isdisjoint(fields)
        head = Head(matched[1], headers, fields, int(length), plain)
        if b"authorization" not in fields:  # a signature is seen once
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[text] = head
        return head
