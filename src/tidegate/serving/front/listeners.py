"""Listeners of a worker: on a unix socket behind this machine's proxy, or on TCP in a container.

Both can withdraw: tell those who route requests here to send no more, while what was sent is still accepted.
"""

import asyncio
import ctypes
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tidegate.domain.errors import StartupError
from tidegate.host.unix_sockets import keep_bound
from tidegate.serving.contract.replica_spec import Listen, ReplicaSpec

BACKLOG = 1024
SETTLE = 0.05
"""Seconds for the connections that the kernel has accepted to reach the event loop."""
_SO_ATTACH_FILTER = 26
_DROP_SYN = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
"""Classic BPF on TCP headers: the flags SYN and ACK of byte 13; SYN alone is dropped, anything else is passed."""

Connect = Callable[[], asyncio.Protocol]


class Listener(Protocol):
    """A listener, which accepts connections until it is closed."""

    async def open(self) -> None:
        """Raises StartupError."""
        ...

    def look(self) -> None:
        """Check whether the listener has lost its place. Called about once a second."""
        ...

    async def withdraw(self, limit: float) -> None:
        """Ask for no more connections, for ``limit`` seconds at most; those that were made by then are accepted when
        this returns."""
        ...

    def close(self) -> None: ...


class _UnixListener:
    """A listener on a unix socket. Once its path is removed, new connections fail at once and can go elsewhere."""

    def __init__(self, path: str, connect: Connect) -> None:
        self._path = path
        self._connect = connect
        self._servers: list[asyncio.Server] = []
        self._keeping: asyncio.Task[None] | None = None
        self._looks = asyncio.Event()

    async def open(self) -> None:
        await self._bind()
        self._keeping = asyncio.create_task(keep_bound(Path(self._path), self._bind, self._await_look))

    def look(self) -> None:
        self._looks.set()

    async def _await_look(self) -> None:
        self._looks.clear()
        await self._looks.wait()

    async def _bind(self) -> None:
        """Bind the socket, also if a killed predecessor left it. Connections to a removed one are still served."""
        before = os.umask(0o077)
        try:
            self._unlink()
            loop = asyncio.get_running_loop()
            server = await loop.create_unix_server(self._connect, path=self._path, backlog=BACKLOG)
        except (OSError, ValueError) as error:
            raise StartupError(f"cannot listen on {self._path}: {error}") from None
        finally:
            os.umask(before)
        self._servers.append(server)

    async def withdraw(self, limit: float) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
        self._unlink()
        await asyncio.sleep(SETTLE)

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def _unlink(self) -> None:
        Path(self._path).unlink(missing_ok=True)


class _TcpListener:
    """A listener on TCP. Those who route by address learn only after a while that a worker wants no more requests, so
    it accepts until then."""

    def __init__(self, listen: Listen, connect: Connect) -> None:
        self._listen = listen
        self._connect = connect
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await bind_tcp(self._listen.host, self._listen.port, self._connect)

    def look(self) -> None:
        pass

    async def withdraw(self, limit: float) -> None:
        await asyncio.sleep(min(self._listen.drain_notice, limit))
        if self._server is None:
            return
        # A listener that is closed resets the connections that wait to be accepted, with requests in them. So it
        # first makes no new ones: clients repeat a SYN that was dropped, and are refused then. Where the kernel lets
        # only root do this, a connection that is made at the instant of the close is reset.
        for each in self._server.sockets:
            with suppress(PermissionError):
                drop_new_connections(each.fileno())
        await asyncio.sleep(SETTLE)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


def listener(spec: ReplicaSpec, connect: Connect) -> Listener:
    return _UnixListener(spec.socket, connect) if spec.listen is None else _TcpListener(spec.listen, connect)


async def bind_tcp(host: str, port: int, connect: Connect) -> asyncio.Server:
    """Raises StartupError."""
    try:
        return await asyncio.get_running_loop().create_server(connect, host, port, backlog=BACKLOG)
    except OSError as error:
        raise StartupError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None


def drop_new_connections(descriptor: int) -> None:
    """Make a listening socket ignore requests for new connections (Linux; elsewhere nothing changes). Raises
    PermissionError: newer kernels want root for it."""
    if not hasattr(socket, "AF_PACKET"):
        return
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(buffer))
    with socket.socket(fileno=os.dup(descriptor)) as same:
        same.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
