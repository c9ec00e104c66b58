"""Batch transform beside the same model called in one process: ``python -m bench.batch [--keep] [--gigabytes 10]``,
or with ``--parquet`` or ``--instances 2``, which are not kept.

50,000 employees (made-up rows in the shape of an attrition table: 30 whole numbers) as CSV to CSV through a job with
one instance on this machine, and the same XGBoost model (150 trees of depth 4, one thread) on the same rows as a
ready float32 array. The job's rate is that of its work: from the moment that it has a worker to its last output, so
without the start-up of worker and runner. With ``--gigabytes`` a large input shows what memory both hold, in a table
of its own (it is made in the temporary folder, and needs that much room there).
"""

import argparse
import contextlib
import json
import re
import statistics
import tempfile
import time
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
from tidegate.testing.platform import Platform, wait_until

ROWS, FEATURES, RUNS = 50_000, 30, 11
USUAL = "transform job, CSV to CSV, rows/s"
CSV, PARQUET = "text/csv", "application/x-parquet"


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


def in_process(booster: Any, rows: Any) -> float:
    """Seconds, the median of some runs."""
    times = []
    for _ in range(7):
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
    parser.add_argument("--keep", action="store_true", help="keep the table in docs/benchmarks.md")
    parser.add_argument("--gigabytes", type=float, default=0.0, help="size of a large input besides")
    parser.add_argument("--parquet", action="store_true", help="parquet to parquet, of doubles")
    parser.add_argument("--instances", type=int, default=1)
    arguments = parser.parse_args()
    usual = not arguments.parquet and arguments.instances == 1
    form = PARQUET if arguments.parquet else CSV
    with tempfile.TemporaryDirectory(prefix="tidegate-") as name, Platform() as platform:
        folder = Path(name)
        booster, rows = prepared(folder)
        if arguments.parquet:
            (folder / "in" / "employees.csv").unlink()
            write_parquet(folder / "in" / "employees.parquet", rows)
        sagemaker = boto3.client(
            "sagemaker",
            endpoint_url=platform.url,
            region_name="us-east-1",
            aws_access_key_id="bench",
            aws_secret_access_key="bench",
        )
        container = {"Image": "tidegate/xgboost", "ModelDataUrl": (folder / "model.ubj").as_uri()}
        sagemaker.create_model(
            ModelName="attrition",
            PrimaryContainer=container,
            ExecutionRoleArn="arn:aws:iam::000000000000:role/bench",
        )
        runs, ready = [], []
        for number in range(RUNS):
            ready.append(in_process(booster, rows))
            out = (folder / "out").as_uri()
            source, instances = f"{(folder / 'in').as_uri()}/", arguments.instances
            runs.append(job(sagemaker, platform, f"run-{number}", source, out, form=form, instances=instances))
        work, alone = statistics.median(run["work"] for run in runs), statistics.median(ready)
        rate = f"{ROWS / work:,.0f}"
        table: list[list[object]] = [
            ["one process, ready array, rows/s", f"{ROWS / alone:,.0f}"],
            [USUAL if usual else f"transform job, {form}, {arguments.instances} instances, rows/s", rate],
            ["share", f"{alone / work:.2f}"],
            ["first answer after CreateTransformJob, s", f"{statistics.median(run['first'] for run in runs):.2f}"],
        ]
        title = f"Batch transform of {ROWS:,} rows, medians of {RUNS} jobs"
        show("batch", title, ("", "measured"), table, keep=arguments.keep and usual)
        print(json.dumps(runs))
        if arguments.gigabytes:
            size = f"{arguments.gigabytes:g}"
            table = large(sagemaker, platform, folder, arguments.gigabytes)
            title, command = f"Batch transform of {size} GB", f"batch --gigabytes {size}"
            show("batch-large", title, ("", "measured"), table, keep=arguments.keep, command=command)


if __name__ == "__main__":
    main()
