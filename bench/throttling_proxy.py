"""Stands between a client of AWS's API and its server: throttles some calls, loses some answers, is slow, and answers
some reads with what was true a moment ago."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx


@dataclass
class Weather:
    """``throttled`` and ``lost``: operation -> how many of its next calls."""

    throttled: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    latency: float = 0.02
    """Seconds."""
    throttle_every: int = 0
    """Of so many calls one is throttled; 0: none."""
    stale: float = 0.0
    """Seconds for which the answer of a read may be the one that an equal read had before."""
    away: bool = False
    """Connections end without an answer."""
    seen: list[str] = field(default_factory=list)
    _read: dict[tuple[str, bytes], tuple[float, httpx.Response]] = field(default_factory=dict)

    def throttles(self, operation: str) -> bool:
        mine = self.throttle_every and len(self.seen) % self.throttle_every == 0
        return _take(self.throttled, operation) or bool(mine)

    def ask(self, operation: str, body: bytes, ask: Callable[[], httpx.Response]) -> httpx.Response:
        if not self.stale or not operation.startswith(("Describe", "List")):
            return ask()
        at, known = self._read.get((operation, body), (0.0, None))
        if known is None or time.monotonic() - at > self.stale:
            known = ask()
            self._read[operation, body] = time.monotonic(), known
        return known


@contextmanager
def weather(server: str) -> Iterator[tuple[str, Weather]]:
    """The URL of the proxy, and what it does."""
    state, client = Weather(), httpx.Client(base_url=server, timeout=60)
    handler = type("Handler", (_Handler,), {"state": state, "client": client})
    listener = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    listener.daemon_threads = True
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_address[1]}", state
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
        client.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    state: Weather
    client: httpx.Client

    def _forward(self) -> None:
        state = self.state
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        operation = (self.headers.get("X-Amz-Target") or self.path).rsplit(".", 1)[-1].rsplit("/", 1)[-1]
        state.seen.append(operation)
        time.sleep(state.latency)
        if state.away:
            self.close_connection = True
            return
        if state.throttles(operation):
            said = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"}).encode()
            self._answer(400, {"Content-Type": "application/x-amz-json-1.1"}, said)
            return
        # The Host header stays as it was signed.
        headers = dict(self.headers)
        answer = state.ask(
            operation, body, lambda: self.client.request(self.command, self.path, headers=headers, content=body)
        )
        if _take(state.lost, operation):
            self.close_connection = True
            self.connection.close()
            return
        kept = {k: v for k, v in answer.headers.items() if k not in _OWN}
        self._answer(answer.status_code, kept, answer.content)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_HEAD = _forward

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


_OWN = ("content-length", "transfer-encoding", "connection", "content-encoding")


def _take(left: dict[str, int], operation: str) -> bool:
    if left.get(operation, 0) <= 0:
        return False
    left[operation] -= 1
    return True
