"""Cold and warm times of a packaged XGBoost model as a function of Lambda, under AWS's runtime client and emulator.

    make .clients/lambda/.done
    python -m bench.lambda_function [--starts 10] [--calls 300] [--keep]

A cold start is the start of a process until its first answer: no microVM, no download of the package. It is not
comparable to AWS's own figures.
"""

import argparse
import http.client
import json
import os
import platform
import socket
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import xgboost

from bench import tables
from tests.lambda_runtime import FunctionProcess, RuntimeServer
from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, encode
from tidegate.targets.aws_lambda import distributions
from tidegate.targets.aws_lambda.zip_package import ZipPackage, check_unpacked, megabytes, plan_entries, write_zip

CLIENTS = Path(__file__).parents[1] / ".clients" / "lambda"
EMULATOR = CLIENTS / "rie" / f"aws-lambda-rie-{'arm64' if platform.machine() == 'aarch64' else 'x86_64'}"
FEATURES = 30
EVENT = {"body": ",".join(["0.1"] * FEATURES), "contentType": "text/csv"}
PATIENCE = 60.0
Ask = Callable[[], object]
Function = Callable[[Path, Path], AbstractContextManager[Ask]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tg-lambda-") as name:
        folder = Path(name)
        package = build(folder)
        task = folder / "task"
        with zipfile.ZipFile(package.path) as archive:
            archive.extractall(task)
        rows = []
        for title, asked in (("runtime client", ask_client), ("runtime interface emulator", ask_emulator)):
            cold, warm = measure(asked, task, folder, given.starts, given.calls)
            rows.append(
                [
                    title,
                    *(f"{tables.percentile(cold, at) * 1e3:.0f}" for at in (50, 90)),
                    *(f"{tables.percentile(warm, at) * 1e3:.2f}" for at in (50, 99)),
                ]
            )
    tables.show(
        "lambda_function",
        f"A function of Lambda (XGBoost, 100 trees; zip {megabytes(package.size)},"
        f" unpacked {megabytes(package.unpacked)})",
        ("under", "cold p50, ms", "cold p90, ms", "warm p50, ms", "warm p99, ms"),
        rows,
        keep=given.keep,
        picture=f"Load average of the machine while it was measured: {os.getloadavg()[1]:.0f}.",
    )


def build(folder: Path) -> ZipPackage:
    """The package of a model with 100 trees."""
    (folder / "model").mkdir()
    rows = np.random.default_rng(1).normal(size=(2000, FEATURES)).astype(np.float32)
    settings = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, rows[:, 0] > 0), 100)
    booster.save_model(folder / "model" / "fraud.ubj")
    container = ContainerSpec(runtime=RuntimeChoice(RuntimeKind.XGBOOST), model_dir="model")
    spec = ReplicaSpec(
        replica="function",
        fleet=FleetId("fraud", 1, "AllTraffic"),
        config_name="v1",
        containers=(container,),
        socket="",
    )
    needed = distributions.collect("xgboost")
    entries = plan_entries(encode(spec), folder / "model", needed)
    return write_zip(entries, folder, check_unpacked(entries, needed))


@contextmanager
def ask_client(task: Path, folder: Path) -> Iterator[Ask]:
    """Under our own Runtime API."""
    with RuntimeServer() as runtime:
        process = FunctionProcess(CLIENTS / "bin" / "python", task, folder / "log", runtime.address)
        process.start()
        try:
            yield lambda: runtime.invoke(EVENT).value
        finally:
            process.stop()


@contextmanager
def ask_emulator(task: Path, folder: Path) -> Iterator[Ask]:
    port, api = free_port(), free_port()
    prefix = (
        str(EMULATOR),
        *(
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{port}",
            "--runtime-api-address",
            f"127.0.0.1:{api}",
        ),
    )
    process = FunctionProcess(CLIENTS / "bin" / "python", task, folder / "log", f"127.0.0.1:{api}", prefix=prefix)
    process.start()
    try:
        yield lambda: post(port)
    finally:
        process.stop()


def measure(asked: Function, task: Path, folder: Path, starts: int, calls: int) -> tuple[list[float], list[float]]:
    """Seconds of each start until its first answer, and of each later call of the last one."""
    cold: list[float] = []
    warm: list[float] = []
    for number in range(starts):
        began = time.perf_counter()
        with asked(task, folder) as ask:
            check(ask())
            cold.append(time.perf_counter() - began)
            for _ in range(calls if number == starts - 1 else 0):
                began = time.perf_counter()
                check(ask())
                warm.append(time.perf_counter() - began)
    return cold, warm


def post(port: int) -> object:
    """Waits until the emulator listens."""
    until = time.monotonic() + PATIENCE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps(EVENT))
            return json.loads(connection.getresponse().read())
        except ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.005)
        finally:
            connection.close()


def check(answer: object) -> None:
    if not isinstance(answer, dict) or answer.get("statusCode") != 200:
        raise SystemExit(f"the function did not score: {answer}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
