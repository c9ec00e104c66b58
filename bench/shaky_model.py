"""A program in the container contract that fails on each request as often as the request says: ``NAME TIMES``. How
often it was asked is the size of the file COUNTS/NAME."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        self._answer(200, b"")

    def do_POST(self) -> None:
        name, times = self.rfile.read(int(self.headers["Content-Length"])).decode().split()
        with (Path(os.environ["COUNTS"]) / name).open("ab") as file:
            file.write(b".")
            file.flush()
            seen = file.tell()
        if seen <= int(times):
            self._answer(500, b"not this time")
        else:
            self._answer(200, b"answered")

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
