"""A program that is not the one that answers, and one that does not answer any more, behind a real worker."""

import http.server
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.worker_process import PATIENCE, RunningWorker, Workers, workers

pytestmark = pytest.mark.slow

__all__ = ["workers"]

PROGRAM = """
import http.server, os, signal, socket, socketserver, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        while os.path.exists("stuck"):
            signal.pause()
        self.answer(b"")

    def do_POST(self):
        order = self.rfile.read(int(self.headers["Content-Length"]))
        if order == b"leave":
            server.socket.close()
        if order == b"stop":
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(30)  # the signal may reach another thread first
        self.answer(b"the program")
        self.close_connection = order != b"keep"

    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        if "SHARED" in os.environ:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

open("port.new", "w").write(os.environ["PORT"])
os.rename("port.new", "port")
while "SLOW" in os.environ and not os.path.exists("go"):
    time.sleep(0.02)
if "CHILD" in os.environ and os.fork():
    os.wait()
class Unix(socketserver.ThreadingUnixStreamServer):
    def get_request(self):
        request, _ = super().get_request()
        return request, ("local", 0)

if "UNIX" in os.environ:
    server = Unix(os.environ["TIDEGATE_SOCKET"], Handler)
else:
    server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
try:
    server.serve_forever()
except Exception:
    threading.Event().wait()
"""


class Foreign(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "11")
        self.end_headers()
        self.wfile.write(b"the foreign")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def foreign(host: str, port: int, shared: bool = False) -> Iterator[None]:
    """Somebody else who listens on the port of a program, and answers whatever is asked."""

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def server_bind(self) -> None:
            if shared:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if self.address_family == socket.AF_INET6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    self.socket.bind((host, port))
                    break
                except OSError:  # a poll holds a socket that was closed for a moment longer
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            self.server_name, self.server_port = host, port

    with Server((host, port), Foreign) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield
        server.shutdown()


def port_of(worker: RunningWorker) -> int:
    deadline = time.monotonic() + PATIENCE
    while not (worker.model_dir / "port").exists():
        assert time.monotonic() < deadline, worker.log
        time.sleep(0.02)
    return int((worker.model_dir / "port").read_text())


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_whoever_takes_the_port_while_the_program_loads_is_not_taken_for_it(workers: Workers, host: str) -> None:
    worker = workers.program(PROGRAM, environment={"SLOW": "1"})
    port = port_of(worker)
    with foreign(host, port):
        assert worker.wait() == 3
    assert f"port {port}, which the primary container was given, was taken by another process" in (
        worker.failure.message
    )
    assert not worker.failure.permanent, "another try has another port"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_whoever_takes_the_port_later_gets_no_request(workers: Workers, host: str) -> None:
    worker = workers.program(PROGRAM)

    async def test() -> None:
        await worker.ready()
        assert (await worker.ask("/invocations", b"leave")).status == 200
        with foreign(host, port_of(worker)):
            try:
                answer = await worker.ask("/invocations", b"who are you?")
            except (OSError, EOFError):
                return  # the worker has noticed by itself, and ends
            assert answer.status == 424
            assert b"the foreign" not in answer.body

    workers.run(test())
    assert worker.wait() == 3
    assert "another process listens in its place" in worker.failure.message + worker.log


def test_whoever_shares_the_port_gets_no_request(workers: Workers) -> None:
    worker = workers.program(PROGRAM, environment={"SHARED": "1"})

    async def test() -> None:
        await worker.ready()
        with foreign("127.0.0.1", port_of(worker), shared=True):
            for _ in range(20):
                try:
                    answer = await worker.ask("/invocations", b"who are you?")
                except (OSError, EOFError):
                    return
                assert b"the foreign" not in answer.body

    workers.run(test())
    assert worker.wait() == 3


def test_a_child_of_the_program_may_listen(workers: Workers) -> None:
    worker = workers.program(PROGRAM, environment={"CHILD": "1"})

    async def test() -> None:
        await worker.ready()
        for order in (b"keep", b"keep", b"once"):
            assert (await worker.ask("/invocations", order)).body == b"the program"

    workers.run(test())


def program_of(worker: RunningWorker) -> int:
    children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children").read_text().split()
    return int(children[0])


WHY = {
    "stopped while it idles": "it is stopped, by a signal",
    "stopped at work": "it is stopped, by a signal",
    "stuck while it idles": "it has not answered for 5 s",
    "its socket is gone": "its socket is gone",
}


@pytest.mark.parametrize("how", WHY)
def test_a_program_that_hangs_ends_the_worker(workers: Workers, how: str) -> None:
    worker = workers.program(PROGRAM, environment={"UNIX": "1"} if how.startswith("its socket") else {})

    async def test() -> None:
        await worker.ready()
        if how.startswith("its socket"):
            Path(worker.spec.socket).with_suffix(".app").unlink()
        elif how.startswith("stuck"):
            (worker.model_dir / "stuck").touch()
        elif how == "stopped at work":
            assert (await worker.ask("/invocations", b"stop")).status == 424
        else:
            os.kill(program_of(worker), signal.SIGSTOP)

    workers.run(test())
    assert worker.wait() == 3
    assert (worker.failure.code, worker.failure.permanent) == ("ProgramEnded", False)
    assert f"container primary: {WHY[how]}" in worker.failure.message
