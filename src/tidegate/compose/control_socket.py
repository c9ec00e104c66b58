"""The controller's own socket, to which only the proxy connects."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tidegate.domain.errors import StartupError
from tidegate.gateway.dependencies import Gateway
from tidegate.host import http_server
from tidegate.host.features import features
from tidegate.host.http_server import HttpServer
from tidegate.host.unix_sockets import keep_bound


@contextlib.asynccontextmanager
async def listening(app: object, path: Path, gateway: Gateway | None = None) -> AsyncIterator[None]:
    """Serve the application on a unix socket, which is made anew if somebody removes it; requests that a feature
    takes from the connection go to ``gateway``, if it is given. Raises StartupError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StartupError(f"the controller cannot listen on {path}: {error.strerror}; remove it") from None
    protocol = None if gateway is None else find_protocol(gateway)
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


def find_protocol(gateway: Gateway) -> Callable[..., asyncio.Protocol] | None:
    """Return the factory of a connection's protocol, or None for the server's own protocol."""
    return next((make(gateway) for _, make in features().hooks("connection_protocol")), None)
