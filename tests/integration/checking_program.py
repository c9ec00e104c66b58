"""The last stage of a pipeline, in the container contract: it knows which value its version of the stages before must
give for the one row that is sent, and fails a request that carries any other."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EXPECTED = float(os.environ["EXPECTED"])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        [value] = json.loads(body)["predictions"]
        if abs(value - EXPECTED) > 1e-4:
            self._answer(500, f"{value} is of another version, whose value is {EXPECTED}".encode())
        else:
            self._answer(200, json.dumps({"value": value}).encode())

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
