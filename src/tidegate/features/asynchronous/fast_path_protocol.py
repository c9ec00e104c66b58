"""Asynchronous requests from the connection to the queue, without the layers that all other requests pass.

There may be thousands a second. The server's protocol (uvicorn's on httptools) reads heads as before; a request that
is plainly of this kind gets no ASGI cycle, and is checked, recognised and answered here, by the same functions.
Everything else, and all that is unusual about them, takes the ordinary path.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HEADER_VALUE_RE, HttpToolsProtocol

from tidegate.auth import same_site as sites
from tidegate.domain.access import ANYBODY, Access, Caller
from tidegate.domain.asynchronous import MAX_INLINE_BYTES
from tidegate.domain.errors import AuthError, TidegateError
from tidegate.features.asynchronous.fast_path import PATH_END, AsyncFastPath
from tidegate.gateway import callers, request_parsing
from tidegate.gateway.dependencies import Gateway
from tidegate.wire import dispatch
from tidegate.wire.operation import WireResponse

log = logging.getLogger(__name__)

_PATH = re.compile(rf"/endpoints/[A-Za-z0-9-]{{1,63}}{PATH_END}".encode())
"""Of one spelling: ``auth.request_target`` finds nothing in it."""
_LENGTH = re.compile(rb"[0-9]{1,9}")
_UNUSUAL = frozenset((b"transfer-encoding", b"expect", b"upgrade"))
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_UNHEARD = asyncio.Event()


def make_fast_path(gateway: Gateway) -> Callable[..., asyncio.Protocol]:
    """Makes the protocol of a connection."""
    return partial(_FastPathProtocol, _Acceptance(gateway))


class _Acceptance:
    """Checks, recognises and answers one request."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._accepting = AsyncFastPath(gateway.context)

    async def answer(self, scope: Scope, body: bytes) -> WireResponse:
        context = self._gateway.context
        request = request_parsing.to_wire_request(scope, body)
        request_id = context.ids.new("request")
        try:
            caller = await self._recognise(scope, body)
            source = "" if caller.may(Access.USE) else self._find_source(scope)  # it is for the audit of refusals
            guard = dispatch.Guard(self._gateway.trail, caller, source)
            answer = await self._accepting.handle(request, guard, request_id)
            _check_headers(answer)
            return answer
        except TidegateError as error:
            return dispatch.refuse(request, context, error, request_id)
        except Exception:
            log.exception("request %s failed: %s %s", request_id, request.method, request.path)
            hidden = TidegateError(f"internal error; see tidegate's log under request id {request_id}")
            return dispatch.refuse(request, context, hidden, request_id)

    async def _recognise(self, scope: Scope, body: bytes) -> Caller:
        if self._gateway.signed:
            return await callers.recognise(self._gateway, {**scope, "state": {"body": body}})
        self._check_site(scope)
        return ANYBODY

    def _check_site(self, scope: Scope) -> None:
        """See ``middleware.require_same_site``."""
        headers = scope["headers"]
        if _is_forwarded(frozenset(name for name, _ in headers)):
            raise AuthError(sites.FORWARDED)
        given = (_values(headers, name) for name in (b"host", b"origin", b"sec-fetch-site"))
        if (why := sites.refusal_reason(self._gateway.own_hosts, *given)) is not None:
            raise AuthError(why)

    def _find_source(self, scope: Scope) -> str:
        return callers.find_source(self._gateway.settings, Headers(scope=scope))


class _Cycle:
    """The state of a request that the protocol has not answered. It has the members that uvicorn's own cycles
    have."""

    __slots__ = ("body", "disconnected", "keep_alive", "message_event", "more_body", "response_complete", "scope")

    def __init__(self, scope: Scope, keep_alive: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.body: list[bytes] = []
        self.more_body = True
        self.response_complete = False
        self.disconnected = False
        self.message_event = _UNHEARD


class _FastPathProtocol(HttpToolsProtocol):
    def __init__(self, acceptance: _Acceptance, **given: Any) -> None:
        super().__init__(**given)
        self._acceptance = acceptance

    def on_headers_complete(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if not (idle and _PATH.fullmatch(self.url) and self._is_usual()):
            super().on_headers_complete()
            return
        path = self.url.decode("ascii")
        asked = {"method": "POST", "path": path, "raw_path": self.url, "query_string": b""}
        scope: Scope = {**self.scope, **asked}
        self.cycle = _Cycle(scope, self.parser.should_keep_alive())  # type: ignore[assignment]

    def _is_usual(self) -> bool:
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return False
        lengths = [value for name, value in self.headers if name == b"content-length"]
        if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]) or int(lengths[0]) > MAX_INLINE_BYTES:
            return False
        return all(name not in _UNUSUAL for name, _ in self.headers)

    def on_body(self, body: bytes) -> None:
        if isinstance(self.cycle, _Cycle):
            self.cycle.body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if not isinstance(cycle, _Cycle):
            super().on_message_complete()
            return
        cycle.more_body = False
        task = self.loop.create_task(self._answer(cycle))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, cycle: _Cycle) -> None:
        body = cycle.body[0] if len(cycle.body) == 1 else b"".join(cycle.body)
        answer = await self._acceptance.answer(cycle.scope, body)
        await self.flow.drain()
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        self.transport.write(_render(answer, self.server_state.default_headers, cycle.keep_alive))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()


def _check_headers(answer: WireResponse) -> None:
    """Raises ValueError for what no header can have: an address of a configuration may be in one."""
    for value in answer.headers.values():
        if HEADER_VALUE_RE.search(value.encode("latin-1")):
            raise ValueError("a header of the answer has a control character")


def _render(answer: WireResponse, more: list[tuple[bytes, bytes]], keep_alive: bool) -> bytes:
    """An HTTP response; ``more``: further headers."""
    parts = [_STATUS[answer.status]]
    parts += [b"%b: %b\r\n" % header for header in more]
    parts += [f"{name.lower()}: {value}\r\n".encode("latin-1") for name, value in answer.headers.items()]
    parts.append(b"content-length: %d\r\n" % len(answer.body))
    parts.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    parts.append(answer.body)
    return b"".join(parts)


def _values(headers: list[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


@lru_cache(1_000)
def _is_forwarded(names: frozenset[bytes]) -> bool:
    return sites.is_forwarded([name.decode("latin-1") for name in names])
