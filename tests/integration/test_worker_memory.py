"""What a worker keeps of the memory that large requests took."""

from pathlib import Path

from tests.worker_process import Workers, csv, models, workers
from tidegate.host.platform import wait_until

__all__ = ["models", "workers"]

BODY = b"x" * (25 * 1024 * 1024 - 1)


def anonymous(pid: int) -> int:
    """MiB of a process's own memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) // 1024


def test_large_bodies_leave_nothing_behind(workers: Workers, models: Path) -> None:
    worker = workers.xgboost(models / "binary.ubj")

    async def test() -> None:
        await worker.ready()
        text = {"content-type": "text/csv"}
        assert (await worker.ask("/invocations", csv(1, 2, 3, 4, 5), text)).status == 200
        before = anonymous(worker.process.pid)
        for _ in range(10):  # of a type that the model refuses, so that no library takes part
            assert (await worker.ask("/invocations", BODY, {"content-type": "application/x-odd"})).status == 424
        wait_until(lambda: anonymous(worker.process.pid) < before + 40, "the memory is given back", every=0.2)
        assert (await worker.ask("/invocations", csv(1, 2, 3, 4, 5), text)).status == 200

    workers.run(test())
