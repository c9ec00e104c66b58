"""A container's port for the platform: it answers until the worker's last counts have been read."""

import asyncio
from contextlib import suppress
from functools import partial

from tidegate.serving.contract.replica_spec import Listen
from tidegate.serving.front.connection import Connection
from tidegate.serving.front.control_pages import ControlService, Pages
from tidegate.serving.front.listeners import bind_tcp
from tidegate.serving.front.responses import Responses

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
