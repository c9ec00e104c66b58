"""A real worker over its socket: predictions, limits, and the odd ways in which clients behave."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
import xgboost

from tests.worker_process import PATIENCE, RunningWorker, Workers, csv, models, request, workers

__all__ = ["models", "workers"]

ROW = csv(1, 2, 3, 4, 5)
PATH = "/endpoints/fraud/invocations"
LIMIT = 300_000


def serve(
    workers: Workers, models: Path, test: Callable[[RunningWorker], Awaitable[None]], **changes: object
) -> None:
    worker = workers.xgboost(models / "binary.ubj", **{"max_body": LIMIT, **changes})

    async def main() -> None:
        await worker.ready()
        await test(worker)

    workers.run(main())
    assert worker.process.poll() is None, worker.log
    assert "Traceback" not in worker.log


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def counted(worker: RunningWorker, number: int) -> list[dict[str, object]]:
    """The finished seconds, once ``number`` invocations are in them."""
    records: list[dict[str, object]] = []

    async def enough() -> bool:
        page = (await worker.ask("/_tidegate/stats?since=0")).json()
        assert isinstance(page["seconds"], list)
        records[:] = page["seconds"]
        return sum(int(record["invocations"]) for record in page["seconds"]) >= number

    await eventually(enough)
    return records


def test_a_prediction_and_what_comes_with_it(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        first = await worker.ask(PATH, ROW, {"content-type": "text/csv", "accept": "application/json"})
        second = await worker.ask("/invocations?x=1", b"[[1,2,3,4,5]]", {"content-type": "application/json"})
        third = await worker.ask(PATH, ROW)
        expected = xgboost.Booster(model_file=str(models / "binary.ubj")).inplace_predict(
            np.array([[1, 2, 3, 4, 5]], dtype=np.float32)
        )
        assert first.status == 200
        assert first.json() == second.json() == {"predictions": expected.tolist()}
        assert third.headers["content-type"] == "text/csv", "without a wish the answer has the form of the request"
        assert float(third.body) == pytest.approx(expected[0])
        assert first.headers["content-type"] == "application/json"
        assert first.headers["x-amzn-invoked-production-variant"] == "Blue"
        assert first.headers["x-tidegate-config"] == "fraud-v3"
        assert len(first.headers["x-amzn-requestid"]) == 36
        assert first.headers["x-amzn-requestid"] != second.headers["x-amzn-requestid"]
        assert first.headers["date"].endswith("GMT")

    serve(workers, models, test)


def test_what_the_model_turns_down_is_a_model_error(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        refused = await worker.ask(PATH, b"1,2", {"content-type": "text/csv"})
        assert refused.status == 424
        assert refused.headers["x-amzn-errortype"] == "ModelError"
        assert refused.headers["x-amzn-invoked-production-variant"] == "Blue"
        said = "Row 1 has 2 columns; the model takes 5."
        body = refused.json()
        message = body.pop("Message")
        assert body == {
            "OriginalStatusCode": 400,
            "OriginalMessage": said,
            "LogStreamArn": worker.spec.log_stream_arn,
            "ErrorCode": "CLIENT_ERROR_FROM_MODEL",
        }
        assert str(message).startswith(f'Received client error (400) from primary with message "{said}".')
        assert (await worker.ask(PATH, ROW, {"content-type": "text/html"})).json()["OriginalStatusCode"] == 415
        assert (await worker.ask(PATH, ROW, {"accept": "text/html"})).json()["OriginalStatusCode"] == 406

    serve(workers, models, test)


@pytest.mark.parametrize(
    ("path", "method", "status", "error"),
    [
        ("/", "GET", 404, "UnknownOperationException"),
        ("/invocations/x", "POST", 404, "UnknownOperationException"),
        (PATH, "GET", 405, "ValidationError"),
        (PATH, "DELETE", 405, "ValidationError"),
    ],
)
def test_other_paths_and_methods(
    workers: Workers, models: Path, path: str, method: str, status: int, error: str
) -> None:
    async def test(worker: RunningWorker) -> None:
        answer = await worker.ask(path, method=method)
        assert (answer.status, answer.headers["x-amzn-errortype"]) == (status, error)

    serve(workers, models, test)


def test_a_connection_is_kept(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        connection = await worker.connect()
        for body in (ROW, b"nonsense", ROW):
            connection.send(request(PATH, body))
            answer = await connection.receive()
            assert answer.status == (200 if body == ROW else 424)
            assert not answer.closes
        connection.send(request(PATH, ROW, {"connection": "close"}))
        assert (await connection.receive()).closes
        assert await connection.ended()

    serve(workers, models, test)


def test_http_1_0_ends_with_its_answer(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        connection = await worker.connect()
        connection.send(request(PATH, ROW, {"connection": "keep-alive"}).replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = await connection.receive()
        assert (answer.status, answer.closes) == (200, True)
        assert await connection.ended()

    serve(workers, models, test)


def test_pipelined_requests_are_answered_in_order(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        connection = await worker.connect()
        kinds = [(PATH, ROW, 200), ("/ping", b"", 200), (PATH, b"x", 424), ("/nowhere", b"", 404)] * 500
        connection.send(b"".join(request(path, body) for path, body, _ in kinds))
        found = [(await connection.receive()).status for _ in kinds]
        assert found == [status for _, _, status in kinds]
        connection.send(request("/ping"))
        assert (await connection.receive()).status == 200

    serve(workers, models, test)


def test_a_request_in_small_pieces(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        connection = await worker.connect()
        whole = request(PATH, ROW) * 2
        for at in range(len(whole)):
            connection.send(whole[at : at + 1])
            await asyncio.sleep(0)
        assert [(await connection.receive()).status for _ in range(2)] == [200, 200]

    serve(workers, models, test)


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_a_chunked_body(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        connection = await worker.connect()
        head = request(PATH, headers={"transfer-encoding": "chunked"}, method="POST")
        connection.send(head + chunked(ROW, 3))
        assert (await connection.receive()).status == 200
        connection.send(head + chunked(b"\n".join([ROW] * 10_000), 1000))
        assert (await connection.receive()).status == 200

    serve(workers, models, test)


@pytest.mark.parametrize("how", ["length", "chunked"])
def test_a_body_over_the_limit(workers: Workers, models: Path, how: str) -> None:
    async def test(worker: RunningWorker) -> None:
        connection = await worker.connect()
        big = b"1," * LIMIT
        if how == "length":
            connection.send(request(PATH, big))
        else:
            connection.send(request(PATH, headers={"transfer-encoding": "chunked"}, method="POST"))
            connection.send(chunked(big, 10_000))
        answer = await connection.receive()
        assert (answer.status, answer.headers["x-amzn-errortype"]) == (413, "ValidationError")
        assert str(LIMIT) in str(answer.json()["Message"])
        assert answer.closes
        assert await connection.ended()
        assert (await worker.ask(PATH, b"1," * (LIMIT // 2))).status == 424, "at the limit it is the model's say"

    serve(workers, models, test)


def test_a_client_may_ask_before_it_sends(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        connection = await worker.connect()
        headers = {"expect": "100-continue", "content-length": str(len(ROW))}
        connection.send(request(PATH, headers=headers, method="POST"))
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(ROW)
        assert (await connection.receive()).status == 200
        headers["content-length"] = str(LIMIT + 1)
        connection.send(request(PATH, headers=headers, method="POST"))
        assert (await connection.receive()).status == 413

    serve(workers, models, test)


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"POST /invocations\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /invocations HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET /" + b"x" * 70_000,
        b"GET /ping HTTP/1.1\r\n" + b"".join(b"h%d: %b\r\n" % (n, b"v" * 1000) for n in range(80)) + b"\r\n",
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_is_not_http_is_refused(workers: Workers, models: Path, data: bytes) -> None:
    async def test(worker: RunningWorker) -> None:
        connection = await worker.connect()
        connection.send(request(PATH, ROW))
        assert (await connection.receive()).status == 200
        connection.send(data)
        answer = await connection.receive()
        assert (answer.status, answer.closes) == (400, True)
        assert answer.headers["x-amzn-errortype"] == "ValidationError"
        assert await connection.ended()

    serve(workers, models, test)


def test_what_came_before_nonsense_is_answered(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        connection = await worker.connect()
        connection.send(request(PATH, ROW) * 3 + b"hello\r\n\r\n" + request(PATH, ROW))
        assert [(await connection.receive()).status for _ in range(4)] == [200, 200, 200, 400]
        assert await connection.ended()

    serve(workers, models, test)


def test_an_upgrade_is_not_offered(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        connection = await worker.connect()
        connection.send(request("/ping", headers={"upgrade": "websocket", "connection": "upgrade"}) + b"frames")
        answer = await connection.receive()
        assert (answer.status, answer.closes) == (200, True)
        assert await connection.ended()

    serve(workers, models, test)


def test_clients_that_leave_harm_nobody(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        for part in (request(PATH, ROW), request(PATH, ROW)[:-3], b"POST", request(PATH, b"1," * LIMIT)[:500]):
            for _ in range(20):
                connection = await worker.connect()
                connection.send(part)
                connection.writer.transport.abort()
        assert (await worker.ask(PATH, ROW)).status == 200

        async def nothing_in_hand() -> bool:
            return (await worker.ask("/_tidegate/stats")).json()["in_flight"] == 0

        await eventually(nothing_in_hand)

    serve(workers, models, test)


def test_a_client_that_does_not_read_only_stops_itself(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        deaf = await worker.connect()
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        many = request(PATH, b"\n".join([ROW] * 2_000)) * 40
        deaf.send(many)
        for _ in range(20):
            assert (await worker.ask(PATH, ROW)).status == 200
        deaf.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert [(await deaf.receive()).status for _ in range(40)] == [200] * 40

    serve(workers, models, test)


def test_many_at_once_get_their_own_answers(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        random = np.random.default_rng(4)
        rows = random.normal(size=(60, 5)).round(3).astype(np.float32)
        expected = xgboost.Booster(model_file=str(models / "binary.ubj")).inplace_predict(rows)

        async def client(number: int) -> None:
            connection = await worker.connect()
            for turn in range(20):
                at = (number * 20 + turn) % len(rows)
                if turn % 7 == 3:
                    connection.send(request(PATH, b"1,2,x,4,5"))
                    assert (await connection.receive()).status == 424
                    continue
                connection.send(request(PATH, csv(*map(float, rows[at]))))
                answer = await connection.receive()
                assert float(answer.body) == pytest.approx(float(expected[at]), abs=1e-12)

        await asyncio.gather(*(client(number) for number in range(30)))

    serve(workers, models, test)


def test_everything_is_counted_once(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        before = int(time.time())
        for number in range(30):
            await worker.ask(PATH, ROW if number % 3 else b"x")
        await worker.ask("/nowhere")
        records = await counted(worker, 30)
        total = {
            name: sum(int(str(r[name])) for r in records) for name in ("invocations", "4xx", "5xx", "model_errors")
        }
        assert total == {"invocations": 30, "4xx": 10, "5xx": 0, "model_errors": 10}
        assert all(before <= int(str(r["second"])) <= time.time() for r in records)
        later = (await worker.ask(f"/_tidegate/stats?since={int(time.time()) + 100}")).json()
        assert later["seconds"] == []

    serve(workers, models, test)


def test_latency_counts_from_the_proxy_s_stamp(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        for seconds in (2, 4):
            stamp = str(time.time_ns() // 1000 - seconds * 1_000_000)
            await worker.ask(PATH, ROW, {"X-Tidegate-Start": stamp})
        records = await counted(worker, 2)
        for name in ("latency", "overhead"):
            spreads = [record[name] for record in records]
            low = min(spread["low"] for spread in spreads)  # type: ignore[index]
            high = max(spread["high"] for spread in spreads)  # type: ignore[index]
            assert 2_000_000 <= low < 4_000_000 <= high < PATIENCE * 1_000_000

    serve(workers, models, test)


@pytest.mark.parametrize("stamp", ["nonsense", "0", "-5", "9" * 30, "99999999999999999", ""])
def test_an_absurd_stamp_is_not_believed(workers: Workers, models: Path, stamp: str) -> None:
    async def test(worker: RunningWorker) -> None:
        began = time.time_ns()
        await worker.ask(PATH, ROW, {"X-Tidegate-Start": stamp})
        took = (time.time_ns() - began) // 1000
        [record] = await counted(worker, 1)
        assert record["latency"]["high"] <= took  # type: ignore[index]
        assert record["overhead"]["high"] == 0  # type: ignore[index]

    serve(workers, models, test)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "X-Amzn-SageMaker-Target-Model",
            "Endpoint fraud is not a multi-model endpoint and does not support target model header.",
        ),
        (
            "X-Amzn-SageMaker-Inference-Component",
            "Inference Component Name header is not allowed for endpoints to which you don't plan to deploy "
            "inference components. Please remove Inference Component Name header or consider using inference "
            "components.",
        ),
        (
            "X-Amzn-SageMaker-Enable-Explanations",
            "Endpoint fraud has no explainer and does not support enable explanations header.",
        ),
    ],
)
def test_a_request_for_another_model_is_not_answered_by_the_only_one(
    workers: Workers, models: Path, header: str, message: str
) -> None:
    async def test(worker: RunningWorker) -> None:
        answer = await worker.ask(PATH, ROW, {"content-type": "text/csv", header: "a.tar.gz"})
        assert (answer.status, answer.headers["x-amzn-errortype"]) == (400, "ValidationError")
        assert answer.json()["Message"] == message
        # It is nobody's error but the client's: the model was not asked.
        await worker.ask(PATH, ROW, {"content-type": "text/csv"})
        assert sum(record["invocations"] for record in await counted(worker, 1)) == 1  # type: ignore[misc]

    serve(workers, models, test)


LONG = [
    ("X-Amzn-SageMaker-Inference-Id", "i" * 64, "i" * 65, "inferenceId", "less than or equal to 64"),
    ("X-Amzn-SageMaker-Prefix-Aware-Id", "i" * 64, "i" * 65, "prefixAwareId", "less than or equal to 64"),
    ("X-Amzn-SageMaker-Inference-Id", "an id", "caf\u00e9", "inferenceId", "regular expression"),
    (
        "X-Amzn-SageMaker-Custom-Attributes",
        "c" * 1024,
        "c" * 1025,
        "customAttributes",
        "less than or equal to 1024",
    ),
    ("X-Amzn-SageMaker-Custom-Attributes", "trace=1", "caf\u00e9", "customAttributes", "regular expression"),
    ("Accept", "application/json", "a" * 1025, "accept", "less than or equal to 1024"),
]


@pytest.mark.parametrize(("header", "good", "bad", "member", "constraint"), LONG)
def test_a_header_that_exceeds_its_limits_is_refused(
    workers: Workers, models: Path, header: str, good: str, bad: str, member: str, constraint: str
) -> None:
    """boto3 checks neither maximums nor patterns."""

    async def test(worker: RunningWorker) -> None:
        kind = {"content-type": "text/csv"}
        assert (await worker.ask(PATH, ROW, {**kind, header: good})).status == 200
        for _ in range(2):  # the second time from the cache of heads
            answer = await worker.ask(PATH, ROW, {**kind, header: bad})
            assert (answer.status, answer.headers["x-amzn-errortype"]) == (400, "ValidationError")
            message = str(answer.json()["Message"])
            assert f"at '{member}' failed to satisfy constraint: Member must" in message
            assert constraint in message
            assert ("ccc" in message) is False, "the service model calls custom attributes sensitive"

    serve(workers, models, test)


def test_a_content_type_of_1025_characters_is_refused(workers: Workers, models: Path) -> None:
    async def test(worker: RunningWorker) -> None:
        answer = await worker.ask(PATH, ROW, {"content-type": "text/csv;" + "x" * 1016})
        assert (answer.status, answer.headers["x-amzn-errortype"]) == (400, "ValidationError")
        assert "at 'contentType'" in str(answer.json()["Message"])

    serve(workers, models, test)
