"""A worker's front: routes, who may, what is counted, and how it goes away.

``GET /ping``, ``GET /_tidegate/stats?since=EPOCH`` and ``POST`` to any path that ends in ``/invocations``.
"""

import asyncio
import os
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

import msgspec

from tidegate.auth.sigv4 import RequestParts, verify
from tidegate.model.errors import AuthError, StartupError
from tidegate.worker import addressed
from tidegate.worker.answers import Responses
from tidegate.worker.http import Connection, Refusal, Request
from tidegate.worker.invocation import Answer, Call, Engine, ModelFailed, Outcome, Rejected
from tidegate.worker.keys import KeysFile
from tidegate.worker.spec import ReplicaSpec, Serving
from tidegate.worker.stats import Stats

STAMP = b"x-tidegate-start"
"""Epoch microseconds at which the proxy had the request."""
OLDEST_STAMP = 3600 * 1_000_000
"""Microseconds: an older stamp is taken for nonsense."""
SERVICES = frozenset({"sagemaker", "sagemaker-runtime"})
"""Names that runtime clients sign for."""
QUIET = 0.5
"""Seconds that an idle connection is kept while draining, for a request that is on its way."""


class Server:
    """Listens from the start; answers predictions once it has an ``engine``."""

    def __init__(self, spec: ReplicaSpec) -> None:
        self.spec = spec
        self.engine: Engine | None = None
        self.draining = False
        self.connections: set[Connection] = set()
        self.max_body = spec.max_body
        self._stats = Stats()
        self._responses = Responses(spec)
        self._keys = KeysFile(Path(spec.keys_file)) if spec.keys_file is not None else None
        self._in_hand: dict[Connection, Call] = {}
        self._listener: asyncio.Server | None = None

    # --- life ---

    async def listen(self) -> None:
        """Takes the socket over, also from a predecessor that was killed. Raises StartupError."""
        if self._keys is not None:
            self._keys.read()
        loop = asyncio.get_running_loop()
        before = os.umask(0o077)
        try:
            self._unlink()
            self._listener = await loop.create_unix_server(
                partial(Connection, self), path=self.spec.socket, backlog=1024
            )
        except (OSError, ValueError) as error:
            raise StartupError(f"cannot listen on {self.spec.socket}: {error}") from None
        finally:
            os.umask(before)
        loop.call_later(1.0, self._sweep, loop)

    async def drain(self, limit: float) -> int:
        """Answers what has been sent, then closes. Returns how many requests were cut off after ``limit`` seconds.

        The socket's name goes first, so that new connections are refused at once and can go elsewhere; those in
        the backlog are still accepted. Open ones are told to close with their next answer."""
        self.draining = True
        self._unlink()
        started = time.monotonic()
        await asyncio.sleep(0.05)  # at least one look at the backlog
        while self.connections:
            waited = time.monotonic() - started
            idle = all(connection.idle for connection in self.connections)
            if waited > limit or (idle and waited > QUIET):
                break
            await asyncio.sleep(0.01)
        cut = len(self._in_hand)
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.close()
        return cut

    def _unlink(self) -> None:
        Path(self.spec.socket).unlink(missing_ok=True)

    # --- what connections ask for ---

    def serve(self, connection: Connection, request: Request) -> None:
        path, _, query = request.url.partition(b"?")
        close = self.draining or not request.keep_alive
        if path.endswith(b"/invocations"):
            if request.method == b"POST":
                self._invoke(connection, request, path, query)
            else:
                message = "Predictions are asked for with POST."
                connection.reply(self._responses.error(405, "ValidationError", message, close), close)
        elif path == b"/ping":
            ready = self.engine is not None and self.engine.healthy and not self.draining
            connection.reply(self._responses.plain(200 if ready else 503, b"", close), close)
        elif path == b"/_tidegate/stats":
            since = parse_qs(query.decode("latin-1")).get("since", ["0"])[0]
            first = int(since) if since.isdecimal() else 0
            connection.reply(self._responses.plain(200, self.statistics(first), close), close)
        else:
            message = "There is no such path here; predictions go to /invocations."
            connection.reply(self._responses.error(404, "UnknownOperationException", message, close), close)

    def refuse(self, refusal: Refusal) -> bytes:
        return self._responses.error(refusal.status, refusal.error, refusal.message, close=True)

    def gone(self, connection: Connection) -> None:
        call = self._in_hand.pop(connection, None)
        if call is not None:
            call.abandon()

    def statistics(self, since: int, before: int | None = None) -> bytes:
        """JSON: the finished seconds from ``since`` on, and how many requests are in hand."""
        now = time.time()
        seconds = self._stats.seconds(since, int(now) if before is None else before)
        return msgspec.json.encode(
            {"replica": self.spec.replica, "now": now, "in_flight": len(self._in_hand), "seconds": seconds}
        )

    # --- predictions ---

    def _invoke(self, connection: Connection, request: Request, path: bytes, query: bytes) -> None:
        close = self.draining or not request.keep_alive
        if self._keys is not None:
            try:
                self._check(request, path, query)
            except AuthError as error:
                connection.reply(self._responses.auth_error(error, close), close)
                return
            except StartupError as error:
                print(f"tidegate worker {self.spec.replica}: {error}", flush=True)
                message = "The access keys cannot be read on the server; see its log."
                connection.reply(self._responses.error(500, "InternalFailure", message, close), close)
                return
        if self.engine is None:
            message = f"The model of variant {self.spec.fleet.variant} is still being loaded; try again."
            connection.reply(self._responses.error(503, "ServiceUnavailable", message, close), close)
            return
        call = Call(request.body, dict(request.headers))
        many = self.spec.serving is Serving.MULTI_MODEL
        if not many and (refusal := addressed.refused(call, self.spec.fleet.endpoint)):
            connection.reply(self._responses.rejected(refusal, close), close)
            return
        self._in_hand[connection] = call
        self.engine.submit(call, partial(self._finish, connection, request, call))

    def _finish(self, connection: Connection, request: Request, call: Call, outcome: Outcome) -> None:
        now = time.time_ns() // 1000
        stamp = _stamp(call.headers.get(STAMP), request.arrived)
        began = stamp if request.at_once else request.complete
        if not isinstance(outcome, Rejected):
            status = outcome.status if isinstance(outcome, ModelFailed) else 200
            self._stats.count(now, status, max(0, now - began), request.arrived - stamp)
        for note in call.notes:
            self._stats.note(now, note)
        if self._in_hand.get(connection) is not call:
            return  # the client is gone
        del self._in_hand[connection]
        close = self.draining or not request.keep_alive
        if isinstance(outcome, Answer):
            response = self._responses.success(outcome, close)
        elif isinstance(outcome, Rejected):
            response = self._responses.rejected(outcome, close)
        elif isinstance(outcome, ModelFailed):
            response = self._responses.model_error(outcome, close)
        else:
            failed = ModelFailed(500, "The model streams its answer; ask for a stream.")
            response = self._responses.model_error(failed, close)
        connection.reply(response, close)

    def _check(self, request: Request, path: bytes, query: bytes) -> None:
        assert self._keys is not None
        parts = RequestParts(
            method=request.method.decode("latin-1"),
            path=path.decode("latin-1"),
            query=query.decode("latin-1"),
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers],
            body=request.body,
        )
        skew = int(self.spec.clock_skew)
        verify(parts, self._keys.read(), now=datetime.now(UTC), skew=skew, services=SERVICES)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for connection in list(self.connections):
            connection.hurry(now)
        loop.call_later(1.0, self._sweep, loop)


def _stamp(header: bytes | None, arrived: int) -> int:
    """When the proxy had the request; without a believable stamp, when we had its first byte."""
    if header is None or not header.isdigit() or len(header) > 20:
        return arrived
    stamp = int(header)
    return stamp if arrived - OLDEST_STAMP < stamp <= arrived else arrived
