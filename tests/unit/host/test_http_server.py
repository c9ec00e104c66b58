"""The server of web applications."""

from pathlib import Path

from starlette.applications import Starlette

from tidegate.host.http_server import serve
from tidegate.proxy.config import KEEP_ALIVE


async def test_proxy_in_front_closes_idle_connections_first(tmp_path: Path) -> None:
    """Else a request on its way to a server that closes meets nobody."""
    server, task = await serve(Starlette(), tmp_path / "s")
    assert server.config.timeout_keep_alive > KEEP_ALIVE
    server.should_exit = True
    await task
