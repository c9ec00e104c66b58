"""The platform's own pages of a worker: ping, statistics and models.

Behind this machine's proxy, which lets clients see none of them, they are on the worker's socket. In a container the
predictions' port has only what SageMaker's contract says; the others are on a port of their own.
"""

import asyncio
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

import msgspec

from tidegate.serving.contract.beside import DRAINED_PATH
from tidegate.serving.contract.body_spool import Spool
from tidegate.serving.contract.invocation import ModelEngine
from tidegate.serving.contract.replica_spec import Listen
from tidegate.serving.contract.signature import find_signature
from tidegate.serving.front.connection import Connection, Refusal, Request
from tidegate.serving.front.header_cache import HeaderCache
from tidegate.serving.front.listeners import bind_tcp
from tidegate.serving.front.request_stats import STATS_PATH
from tidegate.serving.front.responses import UNSPENT, Responses

PING = b"/ping"
LIVE = b"/live"
PARAMETERS = b"/execution-parameters"
MODELS = b"/_tidegate/models"
DRAINED = frozenset((DRAINED_PATH.encode(), f"/{DRAINED_PATH}".encode()))
"""With one more slash it is asked for by kubelets before 1.25, which put one before a hook's path. They take every
status for success, and would stop the container at once."""
STOP_NOTICE = 10.0
"""Seconds within which a worker learns that its pod ends. A container beside it that is restarted alone waits no
longer."""
CONTRACT = frozenset((PING, PARAMETERS))
"""Paths of SageMaker's container contract."""
ALL = frozenset((*CONTRACT, STATS_PATH, MODELS))
CONTROL = frozenset((PING, LIVE, STATS_PATH, MODELS))
"""Paths of a container's control port."""


class Pages(Protocol):
    """The properties of the worker that the pages show."""

    engine: ModelEngine | None
    draining: bool

    def statistics(self, since: int, before: int) -> bytes: ...


def control_page(pages: Pages, paths: frozenset[bytes], path: bytes, query: bytes) -> tuple[int, bytes] | None:
    """Return the status and the body of a page; None for a path that is not one of ``paths``."""
    if path not in paths:
        return None
    engine = pages.engine
    if path == PING:
        ready = engine is not None and engine.healthy and not pages.draining
        return (200 if ready else 503), b""
    if path == STATS_PATH:
        return 200, pages.statistics(_query_value(query, b"since", 0), _query_value(query, b"before", sys.maxsize))
    if path == PARAMETERS:
        return 200, getattr(engine, "execution_parameters", b"{}")
    if path == MODELS:
        return 200, msgspec.json.encode(_list_models(engine))
    return 200, b""


def _list_models(engine: ModelEngine | None) -> object:
    """List the models of an engine that has many; of any other, the signature of its model, null if it knows none."""
    if (listing := getattr(engine, "listing", None)) is not None:
        return listing()
    if (signature := find_signature(engine)) is None:
        return {"signature": None}
    return {"signature": {"form": signature.form, "inputs": [one._asdict() for one in signature.inputs]}}


class ControlService:
    """Serves a container's control port, for the platform alone. ``read``: called after the statistics were."""

    max_body = 0

    def __init__(self, pages: Pages, responses: Responses, read: Callable[[], None]) -> None:
        self.connections: set[Connection] = set()
        self.heads = HeaderCache(())
        self._pages = pages
        self._responses = responses
        self._read = read
        self._waiting: dict[Connection, bool] = {}
        """Those that asked for DRAINED, and whether to close them after the answer."""

    def serve(self, connection: Connection, request: Request) -> None:
        close = not request.keep_alive
        path, _, query = request.url.partition(b"?")
        if path in DRAINED:
            self._waiting[connection] = close
            asyncio.get_running_loop().call_later(STOP_NOTICE, self._release_if_serving, connection)
            return
        page = control_page(self._pages, CONTROL, path, query)
        if page is None:
            message = "There is no such path here; predictions have a port of their own."
            connection.reply(self._responses.error(404, "UnknownOperationException", message, close), close)
            return
        connection.reply(self._responses.plain(*page, close), close)
        if path == STATS_PATH:
            self._read()

    def spool(self) -> Spool:
        raise OSError("no bodies are accepted here")

    def refuse(self, refusal: Refusal) -> bytes:
        return self._responses.error(refusal.status, refusal.error, refusal.message, True, UNSPENT)

    def note_large_body(self) -> None:
        pass

    def gone(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)

    def release(self) -> None:
        """Answer those that wait for the end of the worker's requests."""
        for connection in list(self._waiting):
            self._answer_drained(connection)

    def _release_if_serving(self, connection: Connection) -> None:
        if connection in self._waiting and not self._pages.draining:
            self._answer_drained(connection)

    def _answer_drained(self, connection: Connection) -> None:
        close = self._waiting.pop(connection)
        connection.reply(self._responses.plain(200, b"", close), close)


def _query_value(query: bytes, name: bytes, otherwise: int) -> int:
    found = re.search(rb"(?:^|&)%b=([0-9]{1,18})(?:&|$)" % name, query)
    return int(found[1]) if found else otherwise


# --- a container's port for the platform: it answers until the worker's last counts have been read ---


LAST_READ = 3.0
"""Seconds that a drained worker waits for its statistics to be read; the collector reads them once per second."""


class ControlPort:
    def __init__(self, listen: Listen, pages: Pages, responses: Responses) -> None:
        self._listen = listen
        self._service = ControlService(pages, responses, self._note_read)
        self._server: asyncio.Server | None = None
        self._collected = False
        """Whether anybody reads the statistics."""
        self._read = asyncio.Event()

    async def open(self) -> None:
        """Raises StartupError."""
        if self._listen.control_port:
            listen = self._listen
            self._server = await bind_tcp(
                listen.control_host, listen.control_port, partial(Connection, self._service)
            )

    async def close(self) -> None:
        """Close, once those who collect the statistics have read the last ones."""
        if self._server is None:
            return
        self._service.release()
        if self._collected:
            self._read.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_READ):
                    await self._read.wait()
        self._server.close()
        for connection in list(self._service.connections):
            connection.close()

    def _note_read(self) -> None:
        self._collected = True
        self._read.set()
