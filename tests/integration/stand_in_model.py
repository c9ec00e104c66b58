"""A program in the container contract whose behaviour its environment sets: the bad releases of these tests.

A request ``{"parts": N, "pause_ms": M, "break": true}`` is answered in N parts, as server-sent events on OpenAI's
paths.

With STATEFUL it sums up what it is sent in each session, ``{"add": N}``, and ends one with ``{"close": true}``. Of a
session that it does not know it says what a model would that knows nothing: the sum begins at 0.

With TALK it writes: every answer is a chat completion in server-sent events. ``well``, or it ``refuses``,
``repeats`` or is ``empty``, in half of its answers.
"""

import json
import os
import random
import time
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAIL_EVERY = int(os.environ.get("FAIL_EVERY", "0"))
FAIL_WHEN, HANG_WHEN = os.environ.get("FAIL_WHEN", ""), os.environ.get("HANG_WHEN", "")
"""Files: as long as one is there, every request fails, or has no answer."""
DELAY = float(os.environ.get("DELAY_MS", "0")) / 1000
TALK = os.environ.get("TALK", "")
SAID = {
    "refuses": ["I'm sorry, ", "but I can\u2019t assist", " with that."],
    "repeats": ["Paris is the capital. "] * 15,
    "empty": [""],
}
SESSION, OPENED, CLOSED = (f"X-Amzn-SageMaker-{name}Session-Id" for name in ("", "New-", "Closed-"))
sums: dict[str, int] = {}
"""By session."""
count = 0
time.sleep(float(os.environ.get("START_MS", "0")) / 1000)

if os.environ.get("CRASH"):
    raise SystemExit("the model needs a file that is not there")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, b"")

    def do_POST(self) -> None:
        global count
        count += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(DELAY)
        if TALK:
            self._talk()
            return
        if body.startswith(b'{"parts"'):
            self._stream(json.loads(body))
            return
        while HANG_WHEN and os.path.exists(HANG_WHEN):
            time.sleep(0.1)
        if FAIL_WHEN and os.path.exists(FAIL_WHEN):
            self._answer(500, b"the model lost its mind")
        elif FAIL_EVERY and count % FAIL_EVERY == 0:
            self._answer(500, b"the model divided by zero")
        elif os.environ.get("STATEFUL"):
            self._add(json.loads(body))
        elif os.environ.get("ECHO"):
            self._answer(200, body)
        else:
            self._answer(200, b'{"predictions": [%d]}' % len(body))

    def _add(self, asked: dict[str, int]) -> None:
        session, said = self.headers[SESSION] or "", {}
        if session == "NEW_SESSION":
            session = str(uuid.uuid4())
            said[OPENED] = f"{session}; Expires={time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(asked['until']))}"
        if asked.get("close"):
            said[CLOSED] = session
        total = sums[session] = sums.get(session, 0) + asked["add"]
        answer = {"sum": total, "pid": os.getpid(), "version": os.environ.get("VERSION")}
        self._answer(200, json.dumps(answer).encode(), said)

    def _talk(self) -> None:
        well = [f"word{random.randrange(1000)} and " for _ in range(random.randrange(10, 20))]
        pieces = SAID[TALK] if TALK in SAID and random.random() < 0.5 else well
        events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        lines = [b"data: %b\n\n" % json.dumps(one).encode() for one in events]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in [*lines, b"data: [DONE]\n\n"]:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def _stream(self, asked: dict[str, int]) -> None:
        events = self.path.startswith("/v1/")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if events else "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(asked["parts"]):
            part = b'data: {"n": %d}\n\n' % number if events else b"%d," % number
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            time.sleep(asked.get("pause_ms", 0) / 1000)
        if asked.get("break"):
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
