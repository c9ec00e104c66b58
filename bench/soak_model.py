"""A program in the container contract that says which version it is, with the flaw that FLAW names."""

import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FLAW, VERSION = os.environ.get("FLAW", ""), os.environ["VERSION"]
count = 0

if FLAW == "never loads":
    time.sleep(3600)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        self._answer(200, b"")

    def do_POST(self) -> None:
        global count
        count += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        if FLAW == "hangs":
            time.sleep(3600)
        if FLAW == "slow":
            time.sleep(0.6)
        failed = FLAW == "fails" or (FLAW == "fails in part" and count % 3 == 0)
        self._answer(500 if failed else 200, VERSION.encode())

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
