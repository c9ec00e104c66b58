"""A Runtime API of AWS Lambda on this machine, for AWS's own runtime client (``awslambdaric``).

It has no microVM, no versions and no scaling, and takes one invocation at a time: the times of starts
and invocations are those of the process alone.
"""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Self

HANDLER = "tidegate.serving.aws_lambda.function.handle"
_API = "/2018-06-01/runtime"
FUNCTION = "arn:aws:lambda:eu-central-1:000000000000:function:fraud"


@dataclass(frozen=True)
class Ended:
    """``error`` empty: ``value`` is what the function returned."""

    value: object = None
    error: str = ""
    message: str = ""


@dataclass(frozen=True)
class _Event:
    id: str
    body: bytes
    deadline: float
    """Epoch seconds."""


class RuntimeServer:
    """Use as a context. ``invoke`` is for one thread."""

    def __init__(self) -> None:
        self._events: Queue[_Event] = Queue()
        self._ends: Queue[tuple[str, Ended]] = Queue()
        self._count = 0
        self._stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"runtime": self}))
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def invoke(self, event: object, seconds: float = 30.0, patience: float = 60.0) -> Ended:
        """``seconds``: the function's time limit, by which it is not stopped here; ``patience``: how long to wait for
        it. Raises TimeoutError."""
        self._count += 1
        id = f"request-{self._count}"
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        self._events.put(_Event(id, body, time.time() + seconds))
        until = time.monotonic() + patience
        while (left := until - time.monotonic()) > 0:
            try:
                ended, outcome = self._ends.get(timeout=left)
            except Empty:
                break
            if ended in (id, "init"):
                return outcome
        raise TimeoutError(f"the function did not answer within {patience:g} s")

    # --- for the handler ---

    def next_event(self) -> _Event | None:
        while not self._stopping.is_set():
            try:
                return self._events.get(timeout=0.2)
            except Empty:
                continue
        return None

    def end(self, id: str, ended: Ended) -> None:
        self._ends.put((id, ended))


class _Handler(BaseHTTPRequestHandler):
    runtime: RuntimeServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    # Head and body leave in one packet: two of them take 44 ms (Nagle's algorithm, delayed acknowledgement).

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a function that was killed
            super().handle()

    def do_GET(self) -> None:
        event = self.runtime.next_event() if self.path == f"{_API}/invocation/next" else None
        if event is None:
            self._answer(404, b"")
            return
        headers = {
            "Lambda-Runtime-Aws-Request-Id": event.id,
            "Lambda-Runtime-Deadline-Ms": str(int(event.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": FUNCTION,
            "Content-Type": "application/json",
        }
        self._answer(200, event.body, headers)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(202, b"{}")
        *_, id, what = self.path.split("/")
        if what == "response":
            self.runtime.end(id, Ended(json.loads(body) if body else None))
        else:  # .../invocation/ID/error, or .../init/error
            told = json.loads(body)
            self.runtime.end(id, Ended(error=told.get("errorType", ""), message=told.get("errorMessage", "")))

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None: ...


@dataclass
class FunctionProcess:
    """One environment of a function. ``python`` has awslambdaric and boto3 and nothing of tidegate; ``task``: the
    unpacked package. ``prefix``: command that starts it, such as the runtime interface emulator."""

    python: Path
    task: Path
    log: Path
    runtime: str
    """Address of the Runtime API."""
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        own = {
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": self.runtime,
            "AWS_LAMBDA_FUNCTION_NAME": "fraud",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/fraud",
            "AWS_REGION": "eu-central-1",
            "LAMBDA_TASK_ROOT": str(self.task),
            "PYTHONPATH": str(self.task),
            "PYTHONDONTWRITEBYTECODE": "1",  # the task's folder is read-only at Lambda
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.prefix, str(self.python), "-m", "awslambdaric", HANDLER],
                cwd=self.task,
                env={**own, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # a group of our own
        self._process.wait()
