"""Requests that no model should see, at the one port of a whole platform: each is told what is wrong, and nobody else
feels it."""

import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import skops.io
import xgboost
from botocore.exceptions import ClientError
from sklearn.linear_model import LinearRegression

from tests.scene import Scene
from tidegate.host.platform import Platform

pytestmark = pytest.mark.e2e

CSV, JSON, PARQUET = "text/csv", "application/json", "application/x-parquet"
NAMES = ["amount", "hour", "country"]
ROWS = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
LARGE = 100 * 2**20
LIMIT = 25 * 2**20
"""Bytes of a request, as the platform has it from the start."""


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


@pytest.fixture(scope="module")
def served(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The endpoints ``trees`` (XGBoost, which takes missing values) and ``line`` (scikit-learn, which does not)."""
    scene, folder = Scene(platform), tmp_path_factory.mktemp("models")
    matrix = xgboost.DMatrix(ROWS, ROWS.sum(axis=1), feature_names=NAMES)
    xgboost.train({"nthread": 1, "max_depth": 3}, matrix, 3).save_model(folder / "m.ubj")
    skops.io.dump(LinearRegression().fit(ROWS, ROWS.sum(axis=1)), folder / "m.skops")
    for name, image, file in (("trees", "tidegate/xgboost", "m.ubj"), ("line", "tidegate/sklearn", "m.skops")):
        config = scene.config((folder / file).as_uri(), image=image)
        scene.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    for name in ("trees", "line"):
        assert scene.settled(name)["EndpointStatus"] == "InService"
    return scene


def ask(scene: Scene, endpoint: str, body: bytes, kind: str) -> tuple[int, str]:
    """The model's own status and message."""
    try:
        answer = scene.runtime.invoke_endpoint(EndpointName=endpoint, ContentType=kind, Body=body)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ModelError"
        return error.response["OriginalStatusCode"], error.response["OriginalMessage"]
    return 200, answer["Body"].read().decode()


def parquet(columns: dict[str, object]) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


BAD = [
    ("trees", b"1,2", CSV, 400, "Row 1 has 2 columns; the model takes 3."),
    ("trees", b"1,2,3\n1,2,3,4", CSV, 400, "Row 2 has 4 columns; the model takes 3."),
    ("trees", b"1,2,3\n1,x,3", CSV, 400, "Row 2, column 2 (hour): 'x' is not a number."),
    ("trees", b"1,2,3\n1,2,inf", CSV, 400, "Row 2, column 3 (country): the value is infinite or beyond float32."),
    ("trees", b"", CSV, 400, "The request has no rows."),
    (
        "trees",
        b"amount,hour,land\n1,2,3",
        CSV,
        400,
        "The header line has no 'country'; the model has no feature 'land'.",
    ),
    ("trees", b"", JSON, 400, "The body is empty; send JSON."),
    (
        "trees",
        b"[[1,2,NaN]]",
        JSON,
        400,
        "NaN (byte 6) is no JSON; send null for a value that is missing.",
    ),
    (
        "trees",
        b"[[1,2,1e999]]",
        JSON,
        400,
        "Row 1, column 3 (country): expected a number or null, got a number that is too large.",
    ),
    ("trees", b'[[1,2,"x"]]', JSON, 400, "Row 1, column 3 (country): expected a number or null, got `str`."),
    ("trees", b'[{"amount":1,"hour":2}]', JSON, 400, "Row 1 has no 'country' (send null for a missing value)."),
    (
        "trees",
        b'{"dataframe_records":[{"amount":1,"hour":2,"country":3,"x":4}]}',
        JSON,
        400,
        "Row 1: the model has no feature 'x'.",
    ),
    (
        "trees",
        b'{"dataframe_split":{"columns":["amount","hour"],"data":[[1,2]]}}',
        JSON,
        400,
        "dataframe_split has no 'country'.",
    ),
    ("trees", b"\x93NUMPY", "application/x-npy", 400, "The body is not an npy array: "),
    ("trees", b"PAR1PAR1", PARQUET, 400, "The body is not a whole parquet table: "),
    ("trees", parquet({"amount": [1], "hour": [2]}), PARQUET, 400, "The table has no 'country'."),
    (
        "trees",
        parquet({"amount": [1], "hour": ["x"], "country": [3]}),
        PARQUET,
        400,
        "Row 1, column 2 (hour): the column holds string; send numbers.",
    ),
    (
        "trees",
        parquet(dict.fromkeys(NAMES, np.zeros(6_000_000, np.int8))),
        PARQUET,
        400,
        "The table has 6000000 rows or more; at most 5592405 of this many columns are read.",
    ),
    (
        "trees",
        b"\x00\x01",
        "application/octet-stream",
        415,
        "Raw bytes are not rows of a table; send application/json",
    ),
    ("trees", b"1 1:2", "text/libsvm", 415, "Content type 'text/libsvm' is not supported; send application/json"),
    ("line", b"1,2,3\n1,,3", CSV, 400, "Row 2, column 2: a missing value, which the model does not take"),
    ("line", b"[[null,2,3]]", JSON, 400, "Row 1, column 1: a missing value, which the model does not take"),
]


@pytest.mark.parametrize(("endpoint", "body", "kind", "status", "message"), BAD)
def test_a_bad_request_is_told_what_is_wrong(
    served: Scene, endpoint: str, body: bytes, kind: str, status: int, message: str
) -> None:
    found = ask(served, endpoint, body, kind)
    assert found[0] == status
    assert found[1].startswith(message)
    assert ask(served, endpoint, b"1,2,3", CSV)[0] == 200


def test_missing_values_are_taken_where_the_model_takes_them(served: Scene) -> None:
    for body, kind in ((b"1,,3", CSV), (b"1,nan,3", CSV), (b"[[1,null,3]]", JSON)):
        assert ask(served, "trees", body, kind)[0] == 200


@pytest.mark.parametrize("chunked", [False, True], ids=["by its length", "in chunks"])
def test_a_body_of_100_mib_is_refused_while_others_are_served(
    served: Scene, platform: Platform, chunked: bool
) -> None:
    before = peaks(platform)
    answers: list[int] = []
    refused = threading.Event()

    def others() -> None:
        while not refused.is_set() or not answers:
            answers.append(ask(served, "trees", b"1,2,3", CSV)[0])

    neighbour = threading.Thread(target=others)
    neighbour.start()
    try:
        answer = send_large(platform.port, chunked)
    finally:
        refused.set()
        neighbour.join()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert f"larger than the limit of {LIMIT} bytes".encode() in answer
    assert set(answers) == {200}
    grown = {pid: size - before[pid] for pid, size in peaks(platform).items() if pid in before}
    assert max(grown.values()) < 2 * LIMIT, (
        "of 100 MiB no more than the limit, and what it takes to hold that, is kept"
    )


def send_large(port: int, chunked: bool) -> bytes:
    """Sends until an answer comes, which is returned."""
    head = f"POST /endpoints/trees/invocations HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: {CSV}\r\n"
    head += "transfer-encoding: chunked\r\n\r\n" if chunked else f"content-length: {LARGE}\r\n\r\n"
    block = b"1" * 2**16
    piece = b"%x\r\n%b\r\n" % (len(block), block) if chunked else block
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(head.encode())
        answer = b""
        try:
            for _ in range(LARGE // len(block)):
                client.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer came before the end
        while b"\r\n\r\n" not in answer or b"limit of" not in answer:
            part = client.recv(65536)
            if not part:
                break
            answer += part
    return answer


def peaks(platform: Platform) -> dict[int, int]:
    """The most memory that each process has ever held, in bytes."""
    found = {}
    for process in platform.processes():
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            continue
        found[process.pid] = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return found
