"""Batch transform beside the same model called in one process: ``python -m bench.batch [--keep] [--rows 1000000]
[--parquet] [--instances 2] [--gigabytes 10]``. Each of the last three has tables of its own.

50,000 employees (made-up rows in the shape of an attrition table: 30 whole numbers) as CSV to CSV through a job with
one instance on this machine, and the same XGBoost model (150 trees of depth 4, one thread) on the same rows as a
ready float32 array. The job's rate is that of its work: from the moment that it has a worker to its last output, so
without the start-up of worker and runner; the first answer counts from CreateTransformJob on. A larger input
(``--rows``) shows the rate without what a job's beginning and end cost. With ``--gigabytes`` a large input shows what
memory both hold (it is made in the temporary folder, and needs that much room there).
"""

import argparse
import contextlib
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import httpx
import numpy as np
import psutil
import pyarrow
import pyarrow.parquet
import xgboost

from bench.tables import show
from tidegate.host.platform import Platform, wait_until

ROWS, FEATURES, RUNS = 50_000, 30, 11
LARGER_RUNS = 5
CSV, PARQUET = "text/csv", "application/x-parquet"
FORMS = {CSV: "CSV to CSV", PARQUET: "parquet to parquet"}
HEADER = ("rows", "jobs", "one process, ready array, rows/s", "job, rows/s", "share", "first answer, s")


def prepared(folder: Path) -> tuple[Any, Any]:
    random = np.random.default_rng(7)
    rows = np.round(random.normal(size=(ROWS, FEATURES)) * 10).astype(np.float32)
    labels = (rows[:, 0] * rows[:, 1] + 60 * random.normal(size=ROWS) > 0).astype(int)
    settings = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(rows[:2000], labels[:2000]), 150)
    booster.save_model(folder / "model.ubj")
    (folder / "in").mkdir()
    np.savetxt(folder / "in" / "employees.csv", rows, fmt="%d", delimiter=",")
    return booster, rows


def write_parquet(path: Path, rows: Any) -> None:
    columns = {f"c{number}": rows[:, number].astype(np.float64) for number in range(FEATURES)}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def in_process(booster: Any, rows: Any, runs: int) -> float:
    """Seconds, the median of so many ``runs``."""
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        booster.inplace_predict(rows, missing=np.nan, validate_features=False)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def job(
    sagemaker: Any, platform: Platform, name: str, source: str, sink: str, watch: Any = None, **more: Any
) -> dict[str, float]:
    """``more``: ``form`` of the input and ``instances``."""
    begin = time.time()
    sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName="attrition",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": source}},
            "ContentType": more.get("form", CSV),
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": sink, "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": more.get("instances", 1)},
    )

    def ended() -> dict[str, Any] | None:
        if watch is not None:
            watch()
        found: dict[str, Any] = sagemaker.describe_transform_job(TransformJobName=name)
        return found if found["TransformJobStatus"] != "InProgress" else None

    found = wait_until(ended, f"{name} has ended", 3600, every=0.1)
    if found["TransformJobStatus"] != "Completed":
        raise SystemExit(found["FailureReason"])
    log = (platform.state / "logs" / f"transform.{name}" / "runner.log").read_text()
    at = {word: float(moment) for word, moment in re.findall(r"^(asked|answered|complete) ([\d.]+)$", log, re.M)}
    return {"first": at["answered"] - begin, "work": at["complete"] - at["asked"]}


def memory(platform: Platform, name: str) -> dict[str, float]:
    """MiB of the runner and of its worker, now."""
    notes = {
        "runner": platform.state.glob(f"transforms/{name}/process.json"),
        "worker": platform.state.glob(f"fleets/transform.{name}/*/*/replicas/*/process.json"),
    }
    held = {}
    for who, found in notes.items():
        for note in found:
            with contextlib.suppress(OSError, ValueError, psutil.Error):
                held[who] = psutil.Process(json.loads(note.read_text())["pid"]).memory_info().rss / 2**20
    return held


def progress(platform: Platform) -> str:
    told = httpx.get(f"{platform.url}/tidegate/v1/transforms/large", timeout=10).json()
    return f"{told['records']:,} rows in {told['seconds']:.0f} s, {told['eta'] or 0:.0f} s left"


def large(sagemaker: Any, platform: Platform, folder: Path, gigabytes: float) -> list[list[object]]:
    source = folder / "large"
    source.mkdir()
    block = (folder / "in" / "employees.csv").read_bytes()
    times = int(gigabytes * 1e9 / len(block))
    with (source / "employees.csv").open("wb") as file:
        for _ in range(times):
            file.write(block)
    looks: list[dict[str, float]] = []

    def watch() -> None:
        looks.append(memory(platform, "large"))
        if len(looks) % 300 == 0:
            said = ", ".join(f"{who} {size:.0f} MiB" for who, size in looks[-1].items())
            print(f"look {len(looks)}: {said}; {progress(platform)}", flush=True)

    found = job(
        sagemaker,
        platform,
        "large",
        f"{source.as_uri()}/",
        (folder / "out").as_uri(),
        watch,
    )
    rate = times * ROWS / found["work"]
    rows: list[list[object]] = [[f"rows/s over {gigabytes:g} GB", f"{rate:,.0f}"]]
    for who in ("runner", "worker"):
        sizes = [look[who] for look in looks if who in look]
        early, late = sizes[len(sizes) // 4], max(sizes)
        rows.append([f"{who}'s memory at a quarter of the time", f"{early:.0f} MiB"])
        rows.append([f"{who}'s memory, most", f"{late:.0f} MiB"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the tables in bench/results.md")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of a larger input; 0: none")
    parser.add_argument("--gigabytes", type=float, default=0.0, help="size of a large input besides")
    parser.add_argument("--parquet", action="store_true", help="parquet to parquet, of doubles")
    parser.add_argument("--instances", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidegate-") as name, Platform() as platform:
        folder = Path(name)
        booster, rows = prepared(folder)
        sagemaker = client(platform, folder)
        run = partial(job, sagemaker, platform, instances=arguments.instances)
        sizes = [(ROWS, RUNS)] + [(arguments.rows, LARGER_RUNS)] * (arguments.rows > 0)
        form = PARQUET if arguments.parquet else CSV
        table: list[list[object]] = []
        for size, runs in sizes:
            table += compare(run, folder, booster, rows, form, size, runs)
        section, command = "batch", "batch"
        if arguments.parquet:
            section, command = f"{section}-parquet", f"{command} --parquet"
        if arguments.instances > 1:
            section, command = f"{section}-instances", f"{command} --instances {arguments.instances}"
        title = f"Batch transform, {FORMS[form]}, {arguments.instances} instance{'s' * (arguments.instances > 1)}"
        show(section, title, HEADER, table, keep=arguments.keep, command=command)
        if arguments.gigabytes:
            of_size = f"{arguments.gigabytes:g}"
            table = large(sagemaker, platform, folder, arguments.gigabytes)
            title, command = f"Batch transform of {of_size} GB", f"batch --gigabytes {of_size}"
            show("batch-large", title, ("", "measured"), table, keep=arguments.keep, command=command)


def client(platform: Platform, folder: Path) -> Any:
    """A client of the API, with the model registered."""
    sagemaker = boto3.client(
        "sagemaker",
        endpoint_url=platform.url,
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
    )
    sagemaker.create_model(
        ModelName="attrition",
        PrimaryContainer={"Image": "tidegate/xgboost", "ModelDataUrl": (folder / "model.ubj").as_uri()},
        ExecutionRoleArn="arn:aws:iam::000000000000:role/bench",
    )
    return sagemaker


def compare(
    run: Callable[..., dict[str, float]], folder: Path, booster: Any, rows: Any, form: str, size: int, runs: int
) -> list[list[object]]:
    """One process and jobs by turns, with ``size`` rows; the medians of so many ``runs``."""
    rows = np.resize(rows, (size, FEATURES))
    source = folder / f"in-{size}"
    source.mkdir()
    if form == PARQUET:
        write_parquet(source / "employees.parquet", rows)
    else:
        write_csv(source / "employees.csv", (folder / "in" / "employees.csv").read_bytes(), size)
    ready, jobs = [], []
    for number in range(runs):
        ready.append(in_process(booster, rows, 7 if size <= ROWS else 1))
        jobs.append(run(f"run-{size}-{number}", f"{source.as_uri()}/", (folder / "out").as_uri(), form=form))
    print(json.dumps(jobs))
    work, alone = statistics.median(one["work"] for one in jobs), statistics.median(ready)
    first = statistics.median(one["first"] for one in jobs)
    rates = (f"{size:,}", runs, f"{size / alone:,.0f}", f"{size / work:,.0f}")
    return [[*rates, f"{alone / work:.2f}", f"{first:.2f}"]]


def write_csv(path: Path, block: bytes, size: int) -> None:
    """``size`` rows: those of ``block`` again and again."""
    whole, rest = divmod(size, ROWS)
    with path.open("wb") as file:
        for _ in range(whole):
            file.write(block)
        file.writelines(line + b"\n" for line in block.split(b"\n")[:rest])


if __name__ == "__main__":
    main()
