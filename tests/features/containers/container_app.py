"""The application in the tests' container images: a plain server in Python, with faults by its environment.

With the argument ``serve`` it honours SageMaker's contract; without any it listens on port 8000, with ``/healthz``
and ``/predict``. ``FAULT`` has words of those below, with commas between them.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAULTS = os.environ.get("FAULT", "").split(",")
CONTRACT = sys.argv[1:2] == ["serve"]
PORT, HEALTH, PREDICT = (8080, "/ping", "/invocations") if CONTRACT else (8000, "/healthz", "/predict")
MODEL = Path("/opt/ml/model/value.txt")
held: list[bytearray] = []


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer(200 if self.path == HEALTH else 404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != PREDICT:
            self.answer(404, {})
        elif "lies" in FAULTS:
            self.answer(500, {"error": "healthy only in /healthz"})
        elif "leaks" in FAULTS:
            held.append(bytearray(os.urandom(1 << 20) * 24))
            self.answer(200, [1.0])
        elif "late" in FAULTS:
            time.sleep(1)
            self.answer(200, [1.0])
        elif body == b"about":
            self.answer(200, about())
        elif body == b"exit":
            print("asked to end", flush=True)
            os._exit(7)
        else:
            self.answer(200, [float(os.environ.get("PREDICTION", "0"))])


def about() -> dict[str, object]:
    status = Path("/proc/self/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return {
        "environment": dict(os.environ),
        "arguments": sys.argv[1:],
        "user": os.getuid(),
        "capabilities": fields["CapBnd"],
        "no_new_privileges": fields["NoNewPrivs"],
        "model": MODEL.read_text() if MODEL.exists() else None,
        "model_writable": os.access(MODEL.parent, os.W_OK),
        "interfaces": sorted(os.listdir("/sys/class/net")),
    }


def main() -> None:
    print("the application starts", flush=True)
    if "ignores-term" in FAULTS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if "exits" in FAULTS:
        print("no configuration was found", flush=True)
        sys.exit(3)
    if "grows" in FAULTS:
        while True:
            held.append(bytearray(os.urandom(1 << 20) * 8))
    if "forks" in FAULTS and os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.setsid()
    if "slow" in FAULTS:
        time.sleep(15)
    if "closed" in FAULTS:
        threading.Event().wait()
    ThreadingHTTPServer.request_queue_size = 128
    try:
        ThreadingHTTPServer(("0.0.0.0", PORT), App).serve_forever()
    except OSError:
        threading.Event().wait()  # of a fork: the port is the other's


if __name__ == "__main__":
    main()
