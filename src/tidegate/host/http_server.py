"""A web application on a unix socket or a port, in the loop that runs."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from tidegate.domain.errors import StartupError

GRACE = 5
"""Seconds that requests may take after the end of the server was asked for."""
IDLE = 75
"""Seconds until an idle connection is closed: later than the proxy in front does it (``proxy/config.py`` KEEP_ALIVE).
Else a request that is on its way while this side closes gets no answer, and is not repeated unless that is safe."""


TICK = 1.0
"""Seconds between the times that the date in headers is made anew."""


class HttpServer(uvicorn.Server):
    """Uvicorn without signal handlers of its own: the process has them. Set ``should_exit`` to end it."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._ending = asyncio.Event()
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        return self._ending.is_set()

    @should_exit.setter
    def should_exit(self, given: bool) -> None:
        (self._ending.set if given else self._ending.clear)()

    async def main_loop(self) -> None:
        """Uvicorn's own looks ten times a second whether it is to end."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._ending.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: object,
    where: Path | int,
    host: str = "0.0.0.0",
    *,
    protocol: Callable[..., asyncio.Protocol] | None = None,
) -> tuple[HttpServer, asyncio.Task[None]]:
    """A server that has begun to listen, and the task that it runs in. ``where``: a socket, or a port of
    ``host``. ``protocol``: makes what serves a connection, in place of uvicorn's own. Raises StartupError."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=host,
        port=where if isinstance(where, int) else 0,
        uds=None if isinstance(where, int) else str(where),
        http=protocol or "auto",  # type: ignore[arg-type]
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=IDLE,
        server_header=False,
        proxy_headers=False,  # it changes who the client is, which nobody here asks
    )
    server = HttpServer(config)
    task = asyncio.create_task(server.serve())
    while not server.started and not task.done():
        await asyncio.sleep(0.01)
    if task.done():
        place = f"port {where}" if isinstance(where, int) else str(where)
        raise StartupError(f"cannot listen on {place}: {task.exception() or 'it ended at once'}")
    return server, task
