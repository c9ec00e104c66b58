"""Processor time of each stage of a transform job, on this machine: ``python -m bench.batch_stages [--rounds 9]``.

The rows, the model and the batches of ``bench.batch``, as CSV and as parquet, called in this process: seconds per
million rows, the least of the rounds, which take turns. It is no measure of how stages overlap, and depends less on
what else the machine does than ``bench.batch``. ``of ready`` is the share of what the model alone takes for a ready
array, so that two processors do a job at that array's rate if all stages together take twice as much.
"""

import argparse
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.batch import PARQUET, ROWS, prepared, write_parquet
from bench.tables import show
from tidegate.features.batch.runner import table_io
from tidegate.features.batch.runner.inputs import TABLE_AIM
from tidegate.features.batch.runner.line_ranges import cut_ranges
from tidegate.features.batch.runner.pacing import BUILT_IN_BATCH, MEGABYTES
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Call
from tidegate.serving.formats import arrow_io
from tidegate.serving.runtimes import load
from tidegate.serving.scoring.file_ranges import FIRST, THREADS, FilePart, Records, read
from tidegate.storage.files import tag_of

LIMIT = MEGABYTES * 2**20
Stages = dict[str, Callable[[], Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--keep", action="store_true", help="keep the table in bench/results.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidegate-") as name:
        folder = Path(name)
        booster, rows = prepared(folder)
        ready = {"ready array": lambda: booster.inplace_predict(rows, missing=np.nan, validate_features=False)}
        (folder / "model").mkdir()
        (folder / "model.ubj").rename(folder / "model" / "model.ubj")
        scorer = Records(load(RuntimeKind.XGBOOST, folder / "model", {}))
        measured: list[list[object]] = []
        for form, stages in (("CSV", of_csv(folder, scorer)), ("parquet", of_parquet(folder, rows, scorer))):
            measured += table(form, least(ready | stages, arguments.rounds))
    load_now = " ".join(f"{one:.0f}" for one in os.getloadavg())
    title = f"Stages of a transform job of {ROWS:,} rows (load {load_now})"
    header = ("stage", "CPU s per million rows", "of ready")
    show("batch-stages", title, header, measured, keep=arguments.keep, command="batch_stages")


def least(stages: Stages, rounds: int) -> dict[str, float]:
    """Seconds of processor time, those of the process that reads tables included."""
    found: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(rounds):
        for name, run in stages.items():
            began, read_before = time.process_time(), reader_seconds()
            run()
            found[name].append(time.process_time() - began + reader_seconds() - read_before)
    return {name: min(times) for name, times in found.items()}


def table(form: str, found: dict[str, float]) -> list[list[object]]:
    ready = found.pop("ready array")
    rows = [("ready array", ready), *found.items(), ("all", sum(found.values()))]
    return [[f"{form}: {name}", f"{each / ROWS * 1e6:.2f}", f"{each / ready:.2f}"] for name, each in rows]


def reader_seconds() -> float:
    """Of the process that reads tables; 0 before it runs."""
    process = arrow_io._reader._process
    if process is None:
        return 0.0
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9


def of_csv(folder: Path, scorer: Records) -> Stages:
    path = folder / "in" / "employees.csv"
    tag = tag_of(path.stat())
    ranges = list(cut_ranges(str(path), tag, 0, BUILT_IN_BATCH, LIMIT, THREADS))
    parts = [FilePart(str(path), each.begin, each.end - each.begin, tag) for each in ranges]
    bodies = [read(part) for part in parts]
    calls = [_call(body, b"text/csv") for body in bodies]
    parsed = [scorer.parse(call) for call in calls]
    scores = [scorer.score([rows])[0] for rows in parsed]
    return {
        "find the parts": lambda: list(cut_ranges(str(path), tag, 0, BUILT_IN_BATCH, LIMIT, THREADS)),
        "read": lambda: [read(part) for part in parts],
        "parse": lambda: [scorer.parse(_call(body, b"text/csv")) for body in bodies],
        "predict": lambda: [scorer.score([rows]) for rows in parsed],
        "format": lambda: [scorer.render(score, call) for score, call in zip(scores, calls, strict=True)],
    }


def of_parquet(folder: Path, rows: Any, scorer: Records) -> Stages:
    path = folder / "employees.parquet"
    write_parquet(path, rows)

    def batches() -> list[bytes]:
        source = table_io.ParquetSource(path, None)
        return [batch.body for batch in source.batches(0, TABLE_AIM, LIMIT, False)]

    kind = PARQUET.encode()
    bodies = batches()
    parsed = [scorer.parse(_call(body, kind)) for body in bodies]
    calls = [_call(body, kind) for body in bodies]
    scores = [scorer.score([rows])[0] for rows in parsed]
    return {
        "read and encode batches": batches,
        "send": lambda: send(bodies),
        "parse": lambda: [scorer.parse(_call(body, kind)) for body in bodies],
        "predict": lambda: [scorer.score([rows]) for rows in parsed],
        "format": lambda: [scorer.render(score, call) for score, call in zip(scores, calls, strict=True)],
    }


def _call(body: bytes, kind: bytes) -> Call:
    return Call(body, {b"content-type": kind, FIRST: b"0"})


def send(bodies: list[bytes]) -> None:
    """Through a socket, both ends."""
    for body in bodies:
        here, there = socket.socketpair()
        with here, there:
            sender = threading.Thread(target=here.sendall, args=(body,))
            sender.start()
            left = len(body)
            while left:
                left -= len(there.recv(1 << 18))
            sender.join()


if __name__ == "__main__":
    main()
