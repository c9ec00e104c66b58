"""Any program behind a real worker: what it gets, what it may say, and what happens when it stops."""

import os
import signal
import time

import httpx
import msgspec
import pytest

from tests.worker_process import PATIENCE, RunningWorker, Workers, exists, request, workers
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind

pytestmark = pytest.mark.slow

__all__ = ["workers"]

PROGRAM = """
import http.server, json, os, socketserver, sys, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = os.environ.get("VERSION", "HTTP/1.1")

    def answer(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200 if not os.path.exists("sick") else 500, b"")

    def do_POST(self):
        if self.path != "/invocations":
            return self.answer(404, b"")
        if "EAGER" in os.environ:
            self.answer(422, b"no need to read it")
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        order, _, rest = body[:200].partition(b" ")
        match order.decode("latin-1"):
            case "status":
                self.answer(int(rest), b"because of " + rest, Content_Type="text/plain")
            case "headers":
                self.answer(200, json.dumps({n.lower(): v for n, v in self.headers.items()}).encode())
            case "environment":
                told = dict(os.environ, cwd=os.getcwd(), argv=sys.argv[1:], pid=os.getpid())
                self.answer(200, json.dumps(told).encode(), Content_Type="application/json")
            case "attributes":
                passed = {"X_Amzn_SageMaker_Custom_Attributes": rest.decode()}
                self.answer(200, b"{}", **passed, X_Secret="no", Server2="no")
            case "sleep":
                time.sleep(float(rest))
                self.answer(200, b"awake")
            case "exit":
                print("about to go", flush=True)
                os._exit(int(rest))
            case "garbage":
                self.wfile.write(b"hello there\\r\\n\\r\\n")
                self.close_connection = True
            case "cut":
                self.wfile.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 100\\r\\n\\r\\nhalf")
                self.close_connection = True
            case "long-cut":
                self.wfile.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 100000000\\r\\n\\r\\n" + bytes(50_000_000))
                self.close_connection = True
            case "chunks":
                self.wfile.write(b"HTTP/1.1 200 OK\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n")
                self.wfile.write(b"3\\r\\nabc\\r\\n2\\r\\nde\\r\\n0\\r\\n\\r\\n")
            case "endless":
                self.wfile.write(b"HTTP/1.1 200 OK\\r\\n\\r\\nuntil the end")
                self.close_connection = True
            case "large":
                self.answer(200, bytes(int(rest)))
            case "hang up":
                self.close_connection = True
            case _:
                self.answer(200, body, Content_Type=self.headers.get("Content-Type", "none"))

class Unix(socketserver.ThreadingUnixStreamServer):
    def get_request(self):
        request, _ = super().get_request()
        return request, ("local", 0)

class Tcp(http.server.ThreadingHTTPServer):
    pass

print("starting", flush=True)
if "FAIL" in os.environ:
    print("no such model: " + os.environ["FAIL"], flush=True)
    sys.exit(17)
if "STUBBORN" in os.environ:
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "UNIX" in os.environ:
    Unix(os.environ["TIDEGATE_SOCKET"], Handler).serve_forever()
if "SILENT" in os.environ:
    time.sleep(3600)
Tcp(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


async def told(worker: RunningWorker, order: str) -> dict[str, object]:
    answer = await worker.ask("/invocations", order.encode())
    assert answer.status == 200
    return msgspec.json.decode(answer.body, type=dict[str, object])


@pytest.mark.parametrize("environment", [{}, {"UNIX": "1"}, {"VERSION": "HTTP/1.0"}])
def test_predictions_come_from_the_program(workers: Workers, environment: dict[str, str]) -> None:
    worker = workers.program(PROGRAM, environment=environment)
    binary = bytes(range(256)) * 2000

    async def test() -> None:
        await worker.ready()
        connection = await worker.connect()
        for _ in range(3):
            connection.send(request("/endpoints/fraud/invocations", binary, {"content-type": "image/x"}))
            answer = await connection.receive()
            assert (answer.status, answer.headers["content-type"], answer.body) == (200, "image/x", binary)
            assert answer.headers["x-amzn-invoked-production-variant"] == "Blue"

    workers.run(test())


def test_other_ways_to_end_a_body(workers: Workers) -> None:
    worker = workers.program(PROGRAM)

    async def test() -> None:
        await worker.ready()
        for order, body in ((b"chunks ", b"abcde"), (b"endless ", b"until the end"), (b"chunks ", b"abcde")):
            assert (await worker.ask("/invocations", order)).body == body

    workers.run(test())


def test_what_the_program_gets(workers: Workers) -> None:
    workers.environment = {"TIDEGATE_ACCESS_KEYS": "id:secret-secret", "AWS_SECRET_ACCESS_KEY": "secret"}
    worker = workers.program(PROGRAM, "--flag", "a b", environment={"THRESHOLD": "0.5"})

    async def test() -> None:
        await worker.ready()
        found = await told(worker, "environment ")
        assert found["argv"] == ["--flag", "a b"]
        assert found["cwd"] == found["SM_MODEL_DIR"] == found["MODEL_DIR"] == str(worker.model_dir)
        assert found["THRESHOLD"] == "0.5"
        assert found["PORT"] == found["SAGEMAKER_BIND_TO_PORT"]
        assert "PATH" in found
        assert not {"TIDEGATE_ACCESS_KEYS", "AWS_SECRET_ACCESS_KEY"} & set(found)

    workers.run(test())


def test_headers_that_pass_and_headers_that_do_not(workers: Workers) -> None:
    worker = workers.program(PROGRAM)
    given = {
        "content-type": "text/csv",
        "accept": "application/json",
        "X-Amzn-SageMaker-Custom-Attributes": "trace=1",
        "X-Amzn-SageMaker-Inference-Id": "7",
        "authorization": "secret",
        "cookie": "secret",
        "x-tidegate-start": "1",
    }

    async def test() -> None:
        await worker.ready()
        found = (await worker.ask("/invocations", b"headers ", given)).json()
        assert found.pop("host") == "localhost"
        assert found.pop("content-length") == "8"
        assert found == {
            "content-type": "text/csv",
            "accept": "application/json",
            "x-amzn-sagemaker-custom-attributes": "trace=1",
            "x-amzn-sagemaker-inference-id": "7",
        }
        answer = await worker.ask("/invocations", b"attributes trace=2")
        assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "trace=2"
        assert not {"x-secret", "server2", "server"} & set(answer.headers)

    workers.run(test())


@pytest.mark.parametrize(
    ("status", "side"), [(400, "client"), (404, "client"), (500, "server"), (503, "server"), (302, "server")]
)
def test_an_error_of_the_program_is_a_model_error(workers: Workers, status: int, side: str) -> None:
    worker = workers.program(PROGRAM)

    async def test() -> None:
        await worker.ready()
        answer = await worker.ask("/invocations", f"status {status}".encode())
        assert answer.status == 424
        body = answer.json()
        assert (body["OriginalStatusCode"], body["OriginalMessage"]) == (status, f"because of {status}")
        assert f'Received {side} error ({status}) from primary with message "because of' in str(body["Message"])
        assert ("ErrorCode" in body) == (side == "client")

    workers.run(test())


@pytest.mark.parametrize("order", [b"garbage ", b"cut ", b"large 500000", b"sleep 60"])
def test_no_answer_is_a_model_error_without_a_status(workers: Workers, order: bytes) -> None:
    worker = workers.program(PROGRAM, invocation_timeout=0.5, max_body=400_000)

    async def test() -> None:
        await worker.ready()
        answer = await worker.ask("/invocations", order)
        assert (answer.status, answer.json()["OriginalStatusCode"]) == (424, 0)
        if order.startswith(b"sleep"):
            assert "Your invocation timed out" in str(answer.json()["OriginalMessage"])
        assert (await worker.ask("/invocations", b"still there")).status == 200

    workers.run(test())


def test_an_answer_of_exactly_the_limit_is_given(workers: Workers) -> None:
    worker = workers.program(PROGRAM, max_body=400_000)

    async def test() -> None:
        await worker.ready()
        assert (await worker.ask("/invocations", b"large 400000")).status == 200
        assert (await worker.ask("/invocations", b"large 400001")).status == 424

    workers.run(test())


async def passed(worker: RunningWorker, body: bytes) -> httpx.Response:
    """Through a client that takes answers in chunks."""
    transport = httpx.AsyncHTTPTransport(uds=worker.spec.socket)
    async with httpx.AsyncClient(transport=transport, timeout=PATIENCE) as client:
        return await client.post("http://worker/invocations", content=body)


def test_a_request_and_an_answer_too_large_for_memory_are_passed_on_in_parts(workers: Workers) -> None:
    worker = workers.program(PROGRAM, max_body=64 * 2**20)
    binary = bytes(range(256)) * (40 * 2**12)

    async def test() -> None:
        await worker.ready()
        for _ in range(2):
            answer = await passed(worker, binary)
            assert (answer.status_code, answer.content == binary) == (200, True)
            assert answer.headers["x-amzn-invoked-production-variant"] == "Blue"
        assert (await passed(worker, b"large 50000000")).content == bytes(50_000_000)
        assert (await worker.ask("/invocations", b"small")).body == b"small"
        with pytest.raises(httpx.RemoteProtocolError):
            await passed(worker, b"long-cut 1")

    workers.run(test())


def test_an_answer_before_a_large_request_was_taken(workers: Workers) -> None:
    worker = workers.program(PROGRAM, max_body=64 * 2**20, environment={"EAGER": "1"})

    async def test() -> None:
        await worker.ready()
        for _ in range(2):
            answer = await passed(worker, bytes(40 * 2**20))
            assert (answer.status_code, answer.json()["OriginalStatusCode"]) == (424, 422)

    workers.run(test())


def test_the_socket_of_a_connection_that_was_closed_is_not_used_again(workers: Workers) -> None:
    worker = workers.program(PROGRAM, environment={"VERSION": "HTTP/1.1"})

    async def test() -> None:
        await worker.ready()
        for number in range(50):
            order = b"endless " if number % 2 else b"echo"
            assert (await worker.ask("/invocations", order)).status == 200

    workers.run(test())


def test_a_program_that_ends_takes_the_worker_with_it(workers: Workers) -> None:
    worker = workers.program(PROGRAM)

    async def test() -> None:
        await worker.ready()
        answer = await worker.ask("/invocations", b"exit 9")
        assert (answer.status, answer.json()["OriginalStatusCode"]) == (424, 0)

    workers.run(test())
    assert worker.wait() == 3
    assert (worker.failure.code, worker.failure.permanent) == ("ProgramEnded", False)
    assert "ended with exit code 9" in worker.failure.message
    assert "about to go" in worker.failure.message


def test_a_program_that_cannot_start_is_quoted(workers: Workers) -> None:
    worker = workers.program(PROGRAM, environment={"FAIL": "fraud.bin"})
    assert worker.wait() == 3
    assert "exit code 17" in worker.failure.message
    assert "starting | no such model: fraud.bin" in worker.failure.message
    assert not worker.failure.permanent


def test_a_command_that_is_not_there_is_permanent(workers: Workers) -> None:
    worker = workers.start(RuntimeChoice(RuntimeKind.PROGRAM, ("/no/such/program",)), None)
    assert worker.wait() == 3
    assert "cannot start /no/such/program: No such file or directory" in worker.failure.message
    assert worker.failure.permanent


def test_a_program_that_never_answers_the_ping(workers: Workers) -> None:
    worker = workers.program(PROGRAM, environment={"SILENT": "1"}, startup_timeout=1.0)
    assert worker.wait() == 3
    assert "did not pass the ping health check within 1 s" in worker.failure.message
    assert worker.failure.permanent, "another try would take as long"


def test_an_environment_that_changes_the_program_is_refused(workers: Workers) -> None:
    worker = workers.program(PROGRAM, environment={"LD_PRELOAD": "/tmp/x.so"})
    assert worker.wait() == 3
    assert (worker.failure.code, worker.failure.permanent) == ("Invalid", True)


def test_a_program_that_falls_ill_is_said_by_ping(workers: Workers) -> None:
    worker = workers.program(PROGRAM)

    async def test() -> None:
        await worker.ready()
        (worker.model_dir / "sick").touch()
        deadline = time.monotonic() + PATIENCE
        while (await worker.ask("/ping")).status == 200:
            assert time.monotonic() < deadline
        (worker.model_dir / "sick").unlink()
        await worker.ready()

    workers.run(test())


def gone(pid: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while exists(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_program_goes_with_the_worker(workers: Workers, how: signal.Signals) -> None:
    worker = workers.program(PROGRAM)
    pids: list[int] = []

    async def test() -> None:
        await worker.ready()
        pids.append(int(str((await told(worker, "environment "))["pid"])))
        assert os.getpgid(pids[0]) == pids[0] != os.getpgid(worker.process.pid)

    workers.run(test())
    worker.process.send_signal(how)
    assert worker.wait() == (0 if how is signal.SIGTERM else -signal.SIGKILL)
    assert gone(pids[0])
