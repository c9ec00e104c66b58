"""The open sessions of this replica's containers.

The proxy routes the requests of a session here on a best-effort basis; the replica decides whether it has the
session. It rejects a request of an unknown session, because its container would have no state for it.
"""

import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import inf
from typing import NamedTuple

from tidegate.domain import sessions
from tidegate.serving.contract.invocation import Rejected
from tidegate.serving.contract.replica_spec import ReplicaSpec, Serving
from tidegate.serving.contract.target_headers import CONTAINER

HEADER = sessions.SESSION_HEADER.lower().encode()
GONE = f"{sessions.GONE_HEADER}: gone\r\n".encode()
"""Header for the proxy in the answer to a request of an unknown session."""
MOST = 100_000
"""Most open sessions; beyond that the oldest one is forgotten."""
_HOLDER = sessions.HOLDER_HEADER.lower().encode()
_OPENED, _CLOSED = sessions.NEW_SESSION_HEADER.lower().encode(), sessions.CLOSED_SESSION_HEADER.lower().encode()
_FORM = "Expires=%Y-%m-%dT%H:%M:%SZ"


class _Session(NamedTuple):
    container: bytes
    """The container that the client named, if there are several."""
    until: float
    """Epoch seconds."""


class Sessions:
    """The sessions of one replica. Times are epoch seconds."""

    def __init__(self, spec: ReplicaSpec) -> None:
        self._spec = spec
        self._holder = b"%d" % zlib.crc32(spec.replica.encode())
        self._open: dict[str, _Session] = {}

    def refused(self, headers: Mapping[bytes, bytes], now: float) -> Rejected | None:
        """The error for a request of an unknown session, or where there can be none. ``headers``: the request's,
        names in lower case."""
        id = headers.get(HEADER)
        if id is None:
            return None
        endpoint = self._spec.fleet.endpoint
        if kind := self._kind():
            message = f"Endpoint {endpoint} is a {kind} endpoint and does not support session id header."
            return Rejected(400, "ValidationError", message)
        if id == sessions.NEW_SESSION.encode():
            return None
        name = id.decode("latin-1")
        if not sessions.is_id(name):
            return Rejected(400, "ValidationError", sessions.invalid_id_message(sessions.PATTERN))
        if headers.get(_HOLDER, self._holder) == self._holder and self._has(name, headers, now):
            return None
        return Rejected(400, "ValidationError", sessions.gone_message(name, endpoint))

    def note(self, asked: Mapping[bytes, bytes], answered: Iterable[tuple[bytes, bytes]], now: float) -> None:
        """Record the sessions that an answer opens and closes. ``asked``: headers of the request, names in lower
        case; ``answered``: headers of the answer. An answer to a request without a session opens none."""
        if HEADER not in asked:
            return
        for name, value in answered:
            if name.lower() == _OPENED:
                self._opens(value.decode("latin-1"), asked.get(CONTAINER, b""), now)
            elif name.lower() == _CLOSED:
                self._open.pop(value.decode("latin-1").strip(), None)

    def _kind(self) -> str:
        if self._spec.serving is Serving.MULTI_MODEL:
            return "multi-model"
        return "serverless" if self._spec.on_demand is not None else ""

    def _has(self, name: str, headers: Mapping[bytes, bytes], now: float) -> bool:
        known = self._open.get(name)
        if known is None or known.container != headers.get(CONTAINER, b""):
            return False
        if known.until <= now:
            del self._open[name]
        return known.until > now

    def _opens(self, text: str, container: bytes, now: float) -> None:
        name, _, end = (word.strip() for word in text.partition(";"))
        if not sessions.is_id(name):
            return
        self._open.pop(name, None)
        if len(self._open) >= MOST:
            self._forget(now)
        self._open[name] = _Session(container, _moment(end))

    def _forget(self, now: float) -> None:
        """Forget the expired sessions, or the oldest one if none has expired."""
        over = [name for name, session in self._open.items() if session.until <= now]
        for name in over or [next(iter(self._open))]:
            del self._open[name]


def _moment(text: str) -> float:
    """Parse the time of expiry; infinite if the container sends none or an unreadable one."""
    try:
        return datetime.strptime(text, _FORM).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return inf
