"""The load generator against a real server on a loopback socket."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from bench.sides import reasons
from tidegate.domain.errors import Invalid
from tidegate.load import FailedRequest, LoadGenerator, LoadReport
from tidegate.load.generator import format_request
from tidegate.load.open_loop import LoadPlan, OpenLoop
from tidegate.load.report import document

GOOD = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-Amzn-Invoked-Production-Variant: blue\r\n"
    b"X-Tidegate-Config: v1\r\n\r\n.5"
)


class Server:
    """Answers by turns from ``answers``; None closes the connection, a float waits that many seconds first."""

    def __init__(self, answers: list[bytes | float | None]) -> None:
        self.answers = answers
        self.seen: list[bytes] = []
        self.connections = 0
        self._turn = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.seen.append(head + await reader.readexactly(length))
                answer = self.answers[self._turn % len(self.answers)]
                self._turn += 1
                if answer is None:
                    break
                if isinstance(answer, float):
                    await asyncio.sleep(answer)
                    answer = GOOD
                writer.write(answer)
                if b"Connection: close" in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionResetError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@contextmanager
def serving(server: Server) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    listening = socket.create_server(("127.0.0.1", 0))
    started = loop.run_until_complete(asyncio.start_server(server, sock=listening))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:

        async def close() -> None:
            started.close()
            rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def run_until(generator: LoadGenerator, enough: Callable[[LoadReport], bool]) -> LoadReport:
    deadline = time.monotonic() + 20
    with generator:
        while not enough(generator.snapshot()):
            assert time.monotonic() < deadline, generator.snapshot()
            time.sleep(0.01)
    return generator.stop()


def load(url: str, rate: float | None = 500.0, connections: int = 4, timeout: float = 30.0) -> LoadGenerator:
    kind = {"Content-Type": "text/csv"}
    return LoadGenerator(url, "/x/invocations", b"1,2", kind, rate, connections=connections, timeout=timeout)


def test_every_request_is_counted_by_status_variant_and_config() -> None:
    server = Server([GOOD])
    with serving(server) as url:
        report = run_until(load(url), lambda r: r.total.count >= 100)
    assert report.sent == report.total.count == len(server.seen)
    assert report.unanswered == 0
    assert report.total.statuses == {"200": report.sent}
    assert report.by_config["v1"].count == report.by_variant["blue"].count == report.sent
    assert report.failures == () and report.failed == 0
    assert report.seconds[0].at <= report.total.first <= report.total.last < report.seconds[-1].at + 1
    assert sum(second.sent for second in report.seconds) == report.sent
    assert server.connections <= 4


def test_the_rate_is_held_and_the_schedule_does_not_depend_on_answers() -> None:
    with serving(Server([0.05])) as url:
        started = time.monotonic()
        report = run_until(load(url, rate=200.0, connections=2), lambda r: r.sent >= 40)
        took = time.monotonic() - started
    assert report.sent <= 200 * took + 1


def test_waiting_for_a_free_connection_counts_as_latency() -> None:
    """Two connections of 0.1 s can answer 20 requests per second; 100 are due, so the queue grows."""
    with serving(Server([0.1])) as url:
        report = run_until(load(url, rate=100.0, connections=2), lambda r: r.total.count >= 16)
    median, longest = report.total.percentile(50), report.total.percentile(100)
    assert median is not None and longest is not None
    assert longest > 0.5 > 0.1


def test_bad_answers_are_failures_with_time_and_text() -> None:
    bad = b"HTTP/1.1 424 Failed\r\nX-Tidegate-Config: v2\r\nContent-Length: 5\r\n\r\nwrong"
    before = time.time()
    with serving(Server([GOOD, GOOD, GOOD, bad])) as url:
        report = run_until(load(url, connections=1), lambda r: r.total.count >= 40)
    assert report.by_config["v2"].failed == report.failed == len(report.failures) > 0
    assert report.by_config["v1"].failed == 0
    first = report.failures[0]
    assert (first.status, first.message, first.config) == ("424", "wrong", "v2")
    assert before - 1 <= first.at <= time.time() + 1


def test_a_cut_connection_is_a_socket_failure_and_the_run_goes_on() -> None:
    with serving(Server([GOOD, None])) as url:
        report = run_until(load(url), lambda r: r.total.count >= 50)
    assert report.total.statuses["socket"] > 0 and report.total.statuses["200"] > 0
    assert "closed by the server before the answer was whole" in report.failures[0].message


def test_a_server_that_asks_to_close_costs_no_failure() -> None:
    server = Server([GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)])
    with serving(server) as url:
        report = run_until(load(url), lambda r: r.total.count >= 50)
    assert report.failed == 0
    assert server.connections == report.sent


def test_nobody_listening_is_a_failure_per_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    report = run_until(load(url), lambda r: r.total.count >= 10)
    assert report.failed == report.sent == report.total.count
    assert "cannot connect" in report.failures[0].message


def test_an_answer_that_never_comes_is_given_up() -> None:
    with serving(Server([60.0])) as url:
        report = run_until(load(url, connections=2, timeout=0.2), lambda r: r.total.count >= 3)
    assert set(report.total.statuses) == {"socket"}
    assert {f.message.split(" (")[0] for f in report.failures} >= {"no answer within 0.2 s"}


def test_the_closed_loop_keeps_every_connection_busy() -> None:
    server = Server([GOOD])
    with serving(server) as url:
        report = run_until(load(url, rate=None, connections=3), lambda r: r.total.count >= 300)
    assert server.connections == 3
    assert report.failed == 0 and report.unanswered == 0


def test_the_closed_loop_survives_cut_connections() -> None:
    with serving(Server([GOOD, None])) as url:
        report = run_until(load(url, rate=None, connections=2), lambda r: r.total.statuses.get("socket", 0) >= 5)
    assert report.total.statuses["200"] >= 4


def test_bodies_are_sent_in_turn() -> None:
    server = Server([GOOD])
    with serving(server) as url:
        generator = LoadGenerator(url, "/x", [b"a", b"b"], {}, 500.0, connections=1)
        run_until(generator, lambda r: r.total.count >= 10)
    assert {message[-1:] for message in server.seen} == {b"a", b"b"}


def test_since_keeps_the_later_part() -> None:
    with serving(Server([GOOD])) as url:
        report = run_until(load(url), lambda r: len(r.seconds) >= 2)
    later = report.since(report.seconds[1].at)
    assert later.seconds == report.seconds[1:]
    assert later.sent == report.sent - report.seconds[0].sent


@pytest.mark.parametrize(
    ("url", "rate", "connections", "said"),
    [
        ("https://127.0.0.1", 1.0, 1, "expected http://"),
        ("http://127.0.0.1", 0.0, 1, "rate 0"),
        ("http://127.0.0.1", 1.0, 0, "connections 0"),
    ],
)
def test_bad_input_is_refused(url: str, rate: float, connections: int, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        load(url, rate, connections)


def test_a_header_cannot_smuggle_a_line() -> None:
    with pytest.raises(Invalid, match="line break"):
        LoadGenerator("http://127.0.0.1:1", "/", b"", {"X": "a\r\nY: b"}, 1.0, connections=1)


def test_the_report_is_plain_json() -> None:
    with serving(Server([GOOD])) as url:
        report = run_until(load(url), lambda r: r.total.count >= 5)
    plain = json.loads(json.dumps(document(report)))
    assert plain["answered"] == report.sent and plain["by_config"]["v1"]["failed"] == 0


def test_by_hand_it_prints_json_and_says_by_exit_status_that_requests_failed() -> None:
    bad = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    for answer, code in ((GOOD, 0), (bad, 3)):
        with serving(Server([answer])) as url:
            command = [sys.executable, "-m", "tidegate.load", f"{url}/x", "--json", "--seconds", "0.3"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == code, done.stderr
        assert json.loads(done.stdout)["answered"] > 0


def test_by_hand_a_bad_url_is_one_line() -> None:
    command = [sys.executable, "-m", "tidegate.load", "ftp://x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.strip() == "tidegate.load: url 'ftp://x': expected http://HOST:PORT"


def test_a_schedule_is_kept_and_comes_to_its_end() -> None:
    server = Server([GOOD])
    with serving(server) as url:
        generator = LoadGenerator(url, "/x", [b"a", b"b"], {}, None, schedule=iter([0.0, 0.0, 0.05, 0.1]))
        report = run_until(generator, lambda r: generator.exhausted)
    assert (report.sent, report.failed, report.unanswered) == (4, 0, 0)
    assert sorted(request[-1:] for request in server.seen) == [b"a", b"a", b"b", b"b"]


def test_headers_may_depend_on_the_body() -> None:
    server = Server([GOOD])
    with serving(server) as url:
        generator = LoadGenerator(
            url, "/x", [b"a", b"b"], {}, None, schedule=[0.0, 0.0], sign=lambda body: {"X-Sign": body.decode()}
        )
        run_until(generator, lambda r: generator.exhausted)
    assert sorted((b"X-Sign: a" in request, request[-1:]) for request in server.seen) == [
        (False, b"b"),
        (True, b"a"),
    ]


# A comparison says why requests failed: those that were never sent are no server's failure.


def test_each_reason_is_counted_whichever_connection_it_was() -> None:
    broken = [FailedRequest(1.0, "socket", f"reset (request {n} on its connection)", "", 0.1) for n in (3, 7)]
    refused = FailedRequest(1.0, "503", "No instance", "", 0.1)
    assert reasons([refused, *broken]) == ["2 failed, socket: reset", "1 failed, 503: No instance"]


async def test_what_a_slow_round_left_unsent_is_told_as_such() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stall, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        request = format_request("h", "/", {}, b"{}")
        load = OpenLoop(LoadPlan("127.0.0.1", port, [request], None, 1, 30.0, schedule=[0.0, 0.0, 0.0]))
        load.start()
        async with asyncio.timeout(300):
            while not load.exhausted:
                await asyncio.sleep(0.001)
            report = await load.stop(grace=0.0)
    waiting = "socket: never sent: the run ended while it waited for a connection"
    assert report.total.failed == 3
    assert any(line.endswith(waiting) for line in reasons(report.failures))
