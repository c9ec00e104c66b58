"""A bad release, in the container contract: serves an XGBoost model well, but for what its environment says.

``FAIL_RATE=0.05`` fails one request in twenty with status 500; ``DELAY_MS=150`` makes every answer wait. It
listens on ``PORT``, finds its model in ``SM_MODEL_DIR``, and answers ``GET /ping`` and ``POST /invocations``.
"""

import os
import random
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import xgboost


class FlawedHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    booster: ClassVar[xgboost.Booster]
    fail_rate: ClassVar[float]
    delay: ClassVar[float]

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        time.sleep(self.delay)
        if random.random() < self.fail_rate:
            self._answer(500, b"the flaw of this release: no answer this time")
            return
        rows = np.array([line.split(b",") for line in body.split()], dtype=np.float32)
        scores = self.booster.inplace_predict(rows, validate_features=False)
        self._answer(200, "\n".join(f"{score:g}" for score in scores).encode())

    def _answer(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} -\r\nContent-Type: text/csv\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: a line per request would be all that its log shows."""


class FlawedServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = socket.SOMAXCONN


def main() -> None:
    FlawedHandler.fail_rate = float(os.environ.get("FAIL_RATE", "0"))
    FlawedHandler.delay = float(os.environ.get("DELAY_MS", "0")) / 1000
    FlawedHandler.booster = xgboost.Booster(model_file=next(Path(os.environ["SM_MODEL_DIR"]).glob("*.ubj")))
    FlawedHandler.booster.set_param({"nthread": 1})
    server = FlawedServer(("127.0.0.1", int(os.environ["PORT"])), FlawedHandler)
    print(f"ready: fails {FlawedHandler.fail_rate:.0%}, waits {FlawedHandler.delay * 1000:g} ms", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
