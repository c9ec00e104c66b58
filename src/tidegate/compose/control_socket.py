"""The controller's own socket, to which only the proxy connects."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tidegate.domain.errors import StartupError
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.fast_path import make_fast_path
from tidegate.host import http_server
from tidegate.host.http_server import HttpServer
from tidegate.host.unix_sockets import keep_bound


@contextlib.asynccontextmanager
async def listening(app: object, path: Path, gateway: Gateway | None = None) -> AsyncIterator[None]:
    """Serve the application on a unix socket, which is made anew if somebody removes it; asynchronous requests go to
    ``gateway``, if it is given, by themselves. Raises StartupError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StartupError(f"the controller cannot listen on {path}: {error.strerror}; remove it") from None
    protocol = None if gateway is None else make_fast_path(gateway)
    served: list[tuple[HttpServer, asyncio.Task[None]]] = []

    async def serve() -> None:
        served.append(await http_server.serve(app, path, protocol=protocol))
        for server, _ in served[:-1]:
            server.should_exit = True  # it finishes what it has

    await serve()
    keeping = asyncio.create_task(keep_bound(path, serve))
    try:
        yield
    finally:
        keeping.cancel()
        for server, _ in served:
            server.should_exit = True
        await asyncio.gather(*(task for _, task in served))
        path.unlink(missing_ok=True)
