"""A door for clients, in place of the load balancer, function URL or runtime endpoint of a target."""

import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_HOPS = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive", "host"})


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@contextmanager
def front_door(answer: Callable[[Request], Reply | None]) -> Iterator[str]:
    """Its URL. ``answer`` is called in a thread of its own for each connection; None closes the connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True
        # Head and body leave in one packet: two of them take 44 ms (Nagle's algorithm, delayed acknowledgement).

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = answer(Request(self.command, self.path, headers, body))
            if reply is None:
                self.close_connection = True
                return
            self.send_response_only(reply.status)
            for name, value in reply.headers.items():
                if name.lower() not in _HOPS:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)
            self.wfile.flush()

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Forwarder:
    """Passes requests on to servers, over connections that it keeps. Use as a context."""

    def __init__(self, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._kept: dict[str, list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in [one for kept in self._kept.values() for one in kept]:
            one.close()

    def send(self, address: str, request: Request) -> Reply:
        """``address``: HOST:PORT. Raises OSError or http.client.HTTPException. A request is made again if the kept
        connection that it went over had been closed by the server."""
        while (known := self._take(address)) is not None:
            try:
                return self._ask(address, known, request)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                continue
        return self._ask(address, http.client.HTTPConnection(address, timeout=self._timeout), request)

    def _take(self, address: str) -> http.client.HTTPConnection | None:
        with self._lock:
            kept = self._kept.get(address)
            return kept.pop() if kept else None

    def _ask(self, address: str, connection: http.client.HTTPConnection, request: Request) -> Reply:
        headers = {name: value for name, value in request.headers.items() if name not in _HOPS - {"host"}}
        try:
            connection.request(request.method, request.path, request.body, headers)
            answer = connection.getresponse()
            reply = Reply(answer.status, dict(answer.getheaders()), answer.read())
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            with self._lock:
                self._kept.setdefault(address, []).append(connection)
        return reply
