"""A program in the container contract with the flaw that FLAW names: bad models of these tests."""

import os
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FLAW = os.environ.get("FLAW", "")
MIB = 2**20
held: list[bytes] = []
count = 0

if FLAW == "loads for ever":
    while True:
        time.sleep(60)
if FLAW == "crashes at its start":
    raise SystemExit("the model needs a file that is not there")
if FLAW == "takes too much to load":
    held.append(b"x" * 400 * MIB)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        global count
        count += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if FLAW == "dies on its third request" and count == 3:
            os._exit(7)
        if FLAW == "leaks":
            held.append(b"x" * 200 * MIB)
        if FLAW == "leaks a little" and body == b"drip":
            held.append(b"x" * 30 * MIB)
            time.sleep(0.3)  # it is slow, so that no look at its memory is missed
        if FLAW == "answers garbage" and body == b"garbage":
            self.wfile.write(b"this is no HTTP\r\n\r\n")
            self.connection.shutdown(socket.SHUT_WR)
            self.close_connection = True
            return
        if FLAW == "hangs" and body == b"hang":
            time.sleep(60)
        self._answer(b"%d" % count)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
