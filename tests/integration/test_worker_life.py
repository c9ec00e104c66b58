"""A real worker's life: not ready yet, ready, draining, gone; and what it says when it cannot start."""

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
import xgboost

from tests.worker_process import PATIENCE, RunningWorker, Workers, csv, exists, models, request, workers
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind

__all__ = ["models", "workers"]

ROW = csv(1, 2, 3, 4, 5)
SLOW = """
import http.server, os, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        time.sleep(float(body))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


async def hammer(worker: RunningWorker, outcomes: Counter[str]) -> None:
    """Asks until the worker no longer takes connections; everything that was sent must be answered."""
    while True:
        try:
            connection = await worker.connect()
        except (FileNotFoundError, ConnectionRefusedError):
            return
        closes = False
        while not closes:
            connection.send(request("/invocations", ROW))
            try:
                answer = await connection.receive()
            except (asyncio.IncompleteReadError, ConnectionError):
                outcomes["lost"] += 1
                break
            outcomes[str(answer.status)] += 1
            closes = answer.closes


def test_draining_under_load_loses_nothing(workers: Workers, models: Path) -> None:
    worker = workers.xgboost(models / "binary.ubj")
    outcomes: Counter[str] = Counter()

    async def main() -> None:
        await worker.ready()
        clients = [asyncio.create_task(hammer(worker, outcomes)) for _ in range(16)]
        while outcomes["200"] < 500:
            await asyncio.sleep(0.01)
        worker.terminate()
        await asyncio.wait_for(asyncio.gather(*clients), PATIENCE)

    workers.run(main())
    assert worker.wait() == 0, worker.log
    assert set(outcomes) == {"200"}
    left = msgspec.json.decode((worker.folder / "stats.json").read_bytes(), type=dict[str, object])
    assert isinstance(left["seconds"], list)
    assert sum(record["invocations"] for record in left["seconds"]) == outcomes["200"]
    assert not (worker.folder / "failure.json").exists()
    assert not Path(worker.spec.socket).exists()


def test_what_is_in_hand_is_answered_before_the_end(workers: Workers) -> None:
    worker = workers.program(SLOW)

    async def main() -> None:
        await worker.ready()
        idle = await worker.connect()
        busy = await worker.connect()
        busy.send(request("/invocations", b"1.5"))
        while (await worker.ask("/_tidegate/stats")).json()["in_flight"] != 1:
            await asyncio.sleep(0.01)
        worker.terminate()
        while Path(worker.spec.socket).exists():
            await asyncio.sleep(0.01)
        idle.send(request("/ping"))
        ping = await idle.receive()
        assert (ping.status, ping.closes) == (503, True)
        answer = await busy.receive()
        assert (answer.status, answer.body, answer.closes) == (200, b"1.5", True)

    workers.run(main())
    assert worker.wait() == 0, worker.log


def test_draining_has_a_limit(workers: Workers) -> None:
    worker = workers.program(SLOW, drain_timeout=0.3)

    async def main() -> None:
        await worker.ready()
        busy = await worker.connect()
        busy.send(request("/invocations", b"3000"))
        while (await worker.ask("/_tidegate/stats")).json()["in_flight"] != 1:
            await asyncio.sleep(0.01)
        worker.terminate()
        assert await busy.ended()

    workers.run(main())
    assert worker.wait() == 0
    assert "1 requests cut off" in worker.log


def test_not_ready_is_said_while_the_model_loads(workers: Workers, tmp_path: Path) -> None:
    """The download blocks on a lock that another replica of the fleet seems to hold."""
    fcntl = pytest.importorskip("fcntl")
    model_dir = tmp_path / "fleet" / "model"
    model_dir.parent.mkdir()
    with (tmp_path / "fleet" / "model.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        worker = workers.xgboost(None, model_dir=model_dir)

        async def main() -> None:
            deadline = time.monotonic() + PATIENCE
            status = 0
            while not status:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
                with suppress(OSError):  # it does not listen yet
                    status = (await worker.ask("/ping")).status
            assert status == 503
            answer = await worker.ask("/invocations", ROW)
            assert (answer.status, answer.headers["x-amzn-errortype"]) == (503, "ServiceUnavailable")
            assert answer.headers["retry-after"] == "1"

        workers.run(main())
        worker.terminate()
        assert worker.wait() == 0, "it goes at once, although the download hangs"


@pytest.mark.parametrize("what", ["socket", "folder"])
def test_a_socket_that_is_gone_is_made_anew(workers: Workers, models: Path, what: str) -> None:
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        path = Path(folder) / "run" / "w.sock"
        path.parent.mkdir(mode=0o700)
        worker = workers.xgboost(models / "binary.ubj", socket=path)

        async def main() -> None:
            await worker.ready()
            kept = await worker.connect()
            shutil.rmtree(path.parent) if what == "folder" else path.unlink()
            await worker.ready()
            kept.send(request("/invocations", ROW))
            assert (await kept.receive()).status == 200, "who was connected is served on"
            assert (await worker.ask("/invocations", ROW)).status == 200

        workers.run(main())
        worker.terminate()
        assert worker.wait() == 0
        assert not path.exists()


def test_after_a_kill_the_socket_is_taken_over(workers: Workers, models: Path) -> None:
    first = workers.xgboost(models / "binary.ubj")
    workers.run(first.ready())
    first.process.kill()
    first.wait()
    assert Path(first.spec.socket).exists()
    second = workers.xgboost(models / "binary.ubj", socket=first.spec.socket)
    workers.run(second.ready())
    second.terminate()
    assert second.wait() == 0


def test_replicas_of_a_fleet_share_the_model_folder(workers: Workers, models: Path, tmp_path: Path) -> None:
    model_dir = tmp_path / "fleet" / "model"
    replicas = [workers.xgboost(models / "binary.ubj", model_dir=model_dir) for _ in range(3)]

    async def main() -> None:
        await asyncio.gather(*(replica.ready() for replica in replicas))
        answers = [await replica.ask("/invocations", ROW) for replica in replicas]
        assert len({answer.body for answer in answers}) == 1

    workers.run(main())


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("model.tar.gz", b"not gzip at all", "not a whole gzip file"),
        ("model.ubj", b"hello", "not an XGBoost model"),
        ("model.pkl", b"\x80\x04", "save_model('model.ubj')"),
    ],
)
def test_bad_model_data_is_a_permanent_failure(
    workers: Workers, tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    worker = workers.xgboost(tmp_path / name)
    assert worker.wait() == 3
    failure = worker.failure
    assert (failure.code, failure.permanent) == ("ArtifactError", True)
    assert why in failure.message
    assert "\n" not in failure.message
    assert not Path(worker.spec.socket).exists()


def test_a_missing_file_and_a_forbidden_one(workers: Workers, models: Path, tmp_path: Path) -> None:
    missing = workers.xgboost(tmp_path / "absent.ubj")
    forbidden = workers.xgboost(models / "binary.ubj", file_roots=(str(tmp_path),))
    assert (missing.wait(), forbidden.wait()) == (3, 3)
    assert "no such file" in missing.failure.message
    assert "outside the folders" in forbidden.failure.message


def test_an_s3_that_cannot_be_reached_may_be_tried_again(workers: Workers) -> None:
    workers.environment = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    worker = workers.xgboost("s3://bucket/model.tar.gz", s3_endpoint="http://127.0.0.1:9")
    assert worker.wait() == 3
    assert (worker.failure.code, worker.failure.permanent) == ("Transient", False)
    assert "s3://bucket/model.tar.gz: S3 cannot be reached" in worker.failure.message


def test_a_download_that_takes_too_long_is_given_up(workers: Workers, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    model_dir = tmp_path / "model"
    with (tmp_path / "model.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        worker = workers.xgboost(None, model_dir=model_dir, download_timeout=0.2)
        assert worker.wait() == 3
    assert (worker.failure.permanent, worker.failure.message) == (
        True,
        "the model data did not arrive within 0.2 s",
    )


def test_a_socket_that_cannot_be_made_is_said(workers: Workers) -> None:
    worker = workers.start(RuntimeChoice(RuntimeKind.XGBOOST), None, socket="/proc/none/worker.sock")
    assert worker.wait() == 3
    assert "/proc/none/worker.sock" in worker.failure.message


def test_a_large_request_does_not_hold_up_the_others(workers: Workers, tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(500, 20)).astype(np.float32)
    xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, rows[:, 0]), 50).save_model(tmp_path / "m.ubj")
    worker = workers.xgboost(tmp_path / "m.ubj")

    async def main() -> None:
        await worker.ready()
        line = csv(*range(20))
        large = asyncio.create_task(worker.ask("/invocations", b"\n".join([line] * 200_000)))
        answered = 0
        while not large.done():
            assert (await worker.ask("/invocations", line)).status == 200
            answered += 1
        answer = await large
        assert answer.status == 200
        assert answer.body.count(b"\n") == 200_000
        assert answered > 0

    workers.run(main())


def test_it_outlives_nobody_s_terminal(workers: Workers, models: Path) -> None:
    worker = workers.xgboost(models / "binary.ubj")
    workers.run(worker.ready())
    assert exists(worker.process.pid)
    worker.terminate()
    worker.terminate()
    assert worker.wait() == 0, "a second SIGTERM changes nothing"
