"""A relay between a client and PostgreSQL's socket that can go silent: it keeps its connections open and forwards
nothing, as a hung pooler does, or a network that loses every packet."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

CHUNK = 65536


@dataclass
class Relay:
    """``silence`` holds what is forwarded, in both directions, until ``resume``."""

    server: Path
    """The socket of PostgreSQL."""
    silent: threading.Event = field(default_factory=threading.Event)
    deaf_to: bytes = b""
    """Bytes from a client that make everything silent: they are not forwarded any more."""
    answers_lost_after: bytes = b""
    """Bytes from a client that are forwarded, and whose answer is not."""
    new_ones_work: bool = False
    """Whether connections that are made after ``silence`` lead somewhere."""
    accepted: int = 0
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _ends: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def url(self, through: str) -> str:
        """The URL of a database by way of the relay."""
        name = through.split("@/")[1].split("?")[0]
        return f"postgresql://postgres@{self._listener.getsockname()[0]}:{self.port}/{quote(name)}"

    def silence(self) -> None:
        self.silent.set()

    def resume(self) -> None:
        self.silent.clear()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            self.accepted += 1
            heard = threading.Event() if self.new_ones_work else self.silent
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self.server))
            self._ends += [client, server]
            for source, sink, from_client in ((client, server, True), (server, client, False)):
                copy = threading.Thread(target=self._copy, args=(source, sink, from_client, heard), daemon=True)
                copy.start()

    def _copy(
        self, source: socket.socket, sink: socket.socket, from_client: bool, silent: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if from_client and self.deaf_to and self.deaf_to in data:
                    silent.set()
                if silent.is_set():
                    continue  # lost
                if from_client and self.answers_lost_after and self.answers_lost_after in data:
                    silent.set()
                sink.sendall(data)
            if not silent.is_set():
                sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            end.close()


@contextlib.contextmanager
def relayed(folder: Path, host: str = "127.0.0.1") -> Iterator[Relay]:
    """To the server whose socket lies in this folder. ``host``: the address that it listens on."""
    relay = Relay(folder / ".s.PGSQL.5432", _listener=socket.create_server((host, 0)))
    threading.Thread(target=relay.serve, daemon=True).start()
    try:
        yield relay
    finally:
        relay.close()
