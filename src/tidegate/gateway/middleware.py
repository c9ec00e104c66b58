"""The middleware that every request passes, each wrapping the next.

``read_body`` reads the body once; from then on it is in ``scope["state"]["body"]`` as received.
"""

import logging
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate.auth import request_target
from tidegate.auth import same_site as sites
from tidegate.domain.access import Caller
from tidegate.domain.errors import AuthError, Invalid, PayloadTooLarge, TidegateError
from tidegate.gateway import browser_pages, callers, error_responses, request_parsing
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.paths import HEALTH, METRICS, READY, UPLOADS, is_native_path
from tidegate.wire import dispatch

log = logging.getLogger(__name__)

Middleware = Callable[[ASGIApp, Gateway], ASGIApp]

MAX_BODY = 10 * 1024 * 1024
"""Maximum body in bytes of a request to the control plane; AWS's own largest is smaller."""
MAX_DIGITS = 20
"""Of a Content-Length; Python reads no number of thousands of them."""


def assign_request_id(app: ASGIApp, gateway: Gateway) -> ASGIApp:
    """Assign the request an id, which its answer and the log carry."""

    async def step(scope: Scope, receive: Receive, send: Send) -> None:
        request_id = gateway.context.ids.new("request")

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                if b"x-amzn-requestid" not in {name.lower() for name, _ in headers}:
                    message = {**message, "headers": [*headers, (b"x-amzn-requestid", request_id.encode())]}
            await send(message)

        scope["state"] = {**scope.get("state", {}), "request_id": request_id, "body": b"", "caller": Caller()}
        await app(scope, receive, named)

    return step


def render_errors(app: ASGIApp, gateway: Gateway) -> ASGIApp:
    """Turn every error into an answer in the wire format that the client used."""

    async def step(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except ClientDisconnect:
            return
        except TidegateError as error:
            await refusal(scope, error)(scope, receive, send)
        except Exception:
            request_id = scope["state"]["request_id"]
            log.exception("request %s failed: %s %s", request_id, scope["method"], scope["path"])
            hidden = TidegateError(f"internal error; see tidegate's log under request id {request_id}")
            await refusal(scope, hidden)(scope, receive, send)

    def refusal(scope: Scope, error: TidegateError) -> Response:
        if browser_pages.wants_page(scope):
            login = browser_pages.to_login(scope, error) if gateway.signed else None
            return login or browser_pages.error_page(error)
        if is_native_path(scope["path"]):
            return error_responses.error_response(error)
        refused = dispatch.refuse(
            request_parsing.to_wire_request(scope, scope["state"]["body"]), gateway.context, error
        )
        return Response(refused.body, refused.status, refused.headers)

    return step


def read_body(app: ASGIApp, gateway: Gateway) -> ASGIApp:
    """Read the body, up to a limit. That of an upload is left to its handler, unless a signature covers it."""

    async def step(scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or len(declared) > MAX_DIGITS:
            raise Invalid(f"Content-Length '{declared[:MAX_DIGITS]}' is not a number of bytes")
        signed = gateway.signed and callers.shows_signature(scope)
        if scope["path"].startswith(UPLOADS) and not signed:
            scope["state"]["body"] = None
            await app(scope, receive, send)
            return
        if int(declared) > MAX_BODY:
            raise PayloadTooLarge(f"the body has {declared} bytes: the limit is {MAX_BODY}")
        scope["state"]["body"] = await _read_limited(receive)
        await app(scope, receive, send)

    return step


async def _read_limited(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY:
            raise PayloadTooLarge(f"the body exceeds the limit of {MAX_BODY} bytes")
        if not message.get("more_body", False):
            return b"".join(chunks)


def require_canonical_target(app: ASGIApp, gateway: Gateway) -> ASGIApp:
    """Reject a request target that could be interpreted in two ways (``auth.request_target``)."""

    async def step(scope: Scope, receive: Receive, send: Send) -> None:
        request_target.check(scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1"))
        await app(scope, receive, send)

    return step


def require_same_site(app: ASGIApp, gateway: Gateway) -> ASGIApp:
    """Reject requests from other sites and machines if callers are not authenticated: those that another site's web
    page makes a browser on this machine send, and those that a proxy forwards from other machines. If callers are
    authenticated, only sessions are checked (``callers``)."""

    async def step(scope: Scope, receive: Receive, send: Send) -> None:
        if not gateway.signed:
            headers = Headers(scope=scope)
            if sites.is_forwarded(headers.keys()):
                raise AuthError(sites.FORWARDED)
            given = (headers.getlist(name) for name in ("host", "origin", "sec-fetch-site"))
            if (why := sites.refusal_reason(gateway.own_hosts, *given)) is not None:
                raise AuthError(why)
        await app(scope, receive, send)

    return step


def authenticate(app: ASGIApp, gateway: Gateway) -> ASGIApp:
    """Recognise the caller. What the caller may do is checked where the operation is known."""
    free = {HEALTH, READY, *((METRICS,) if gateway.settings.open_metrics else ())}

    async def step(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in free:
            scope["state"]["caller"] = await callers.recognise(gateway, scope)
        await app(scope, receive, send)

    return step
