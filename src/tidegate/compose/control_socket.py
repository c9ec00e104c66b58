"""The controller's own socket, to which only the proxy connects."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn

from tidegate.domain.errors import StartupError
from tidegate.host.unix_sockets import keep_bound


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers of its own: the controller has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def listening(app: object, path: Path) -> AsyncIterator[None]:
    """Serve the application on a unix socket, which is made anew if somebody removes it. Raises StartupError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StartupError(f"the controller cannot listen on {path}: {error.strerror}; remove it") from None
    served: list[tuple[_Server, asyncio.Task[None]]] = []

    async def serve() -> None:
        served.append(await _serve(app, path))
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


async def _serve(app: object, path: Path) -> tuple[_Server, asyncio.Task[None]]:
    """A server that has begun to listen, and the task that it runs in."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        uds=str(path),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        server_header=False,
        proxy_headers=False,  # it changes who the client is, which nobody here asks
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started and not task.done():
        await asyncio.sleep(0.01)
    if task.done():
        raise StartupError(f"the controller cannot listen on {path}: {task.exception() or 'it ended at once'}")
    return server, task
