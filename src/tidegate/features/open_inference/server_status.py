"""Answers calls of gRPC about the server itself, on a socket that HAProxy sends them to."""

import asyncio
from pathlib import Path

from tidegate import __version__
from tidegate.compose.background import Services, Worker
from tidegate.domain.errors import StartupError
from tidegate.features.open_inference.proxy_rules import GRPC_PATH, SOCKET
from tidegate.serving.formats import protobuf
from tidegate.settings import Settings

LONGEST_HEAD = 64 * 1024
EXTENSIONS = ("binary_tensor_data",)
ANSWERS = {
    f"{GRPC_PATH}ServerLive": protobuf.write_flag(True),
    f"{GRPC_PATH}ServerReady": protobuf.write_flag(True),
    f"{GRPC_PATH}ServerMetadata": protobuf.write_server_metadata("tidegate", __version__, EXTENSIONS),
}
"""Path -> message. Whether a model is ready is another call; the server is, once it answers."""


class GrpcServerStatus(Worker):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        try:
            self._server = await asyncio.start_unix_server(answer, self._path, limit=LONGEST_HEAD)
            self._path.chmod(0o600)
        except OSError as error:
            raise StartupError(f"gRPC cannot be served: {self._path}: {error.strerror}") from None

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)


def make_status(services: Services) -> GrpcServerStatus:
    return GrpcServerStatus(services.folder.sockets / SOCKET)


def check_settings(settings: Settings) -> None:
    """Raises StartupError for a port that the server has already."""
    if settings.grpc_port and settings.grpc_port == settings.port:
        raise StartupError(
            f"TIDEGATE_GRPC_PORT is {settings.grpc_port}, which is TIDEGATE_PORT: choose another one"
        )


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One call on each connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        words = head.partition(b"\r\n")[0].split(b" ")
        message = ANSWERS.get(words[1].decode("latin-1") if len(words) == 3 else "")
        rest = (
            protobuf.trailers(12, "The server has no such method.") if message is None else protobuf.frame(message)
        )
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n"
            b"connection: close\r\n\r\n" + rest
        )
        await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        pass
    finally:
        writer.close()
