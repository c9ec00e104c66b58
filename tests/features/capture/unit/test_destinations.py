"""Where captured files are delivered to, and how much of them a folder keeps."""

from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from tidegate.domain.capture import Capture
from tidegate.domain.errors import ArtifactError, TidegateError
from tidegate.features.capture.worker.destinations import BucketDestination, FolderDestination, open_destination
from tidegate.rows.capture_paths import file_name, layout
from tidegate.storage.s3 import S3, Bucket

AT = 1_644_859_549.0


def deliver(folder: FolderDestination, spool: Path, at: float, content: bytes = b"{}\n") -> str:
    spool.mkdir(exist_ok=True)
    name = file_name(at, str(uuid4()))
    below = layout(name)
    assert below is not None
    (spool / name).write_bytes(content)
    folder.put(spool / name, below)
    return below


def open_folder(folder: Path, roots: Path, keep: int = 10**9) -> FolderDestination:
    capture = Capture(folder.as_uri(), keep=keep)
    made = open_destination(capture, "fraud/AllTraffic", [str(roots)], ("", "us-east-1"))
    assert isinstance(made, FolderDestination)
    return made


def test_a_file_appears_whole_below_endpoint_and_variant(tmp_path: Path) -> None:
    made = open_folder(tmp_path / "captures", tmp_path)
    below = deliver(made, tmp_path / "spool", AT, b"1\n2\n")
    path = tmp_path / "captures" / "fraud" / "AllTraffic" / below
    assert path.read_bytes() == b"1\n2\n"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not list((tmp_path / "spool").iterdir())


def test_the_oldest_files_go_when_more_is_there_than_is_kept(tmp_path: Path) -> None:
    made = open_folder(tmp_path / "captures", tmp_path, keep=25)
    mine = tmp_path / "captures" / "fraud" / "AllTraffic" / "notes.jsonl"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"x" * 100)
    found = [deliver(made, tmp_path / "spool", AT + hour * 3600, b"123456789\n") for hour in range(5)]
    base = mine.parent
    assert [below for below in found if (base / below).exists()] == found[-2:]
    assert mine.exists(), "nobody else's file is touched"
    assert len(list(base.glob("2022/02/14/*"))) == 2, "empty folders go as well"
    huge = deliver(made, tmp_path / "spool", AT + 6 * 3600, b"x" * 100)
    assert (base / huge).exists(), "the newest stays in any case"


def test_nothing_is_written_outside_the_folders_that_may_be_written(tmp_path: Path) -> None:
    made = open_folder(tmp_path / "elsewhere", tmp_path / "allowed")
    with pytest.raises(ArtifactError, match="outside the folders"):
        deliver(made, tmp_path / "spool", AT)
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="outside the folders"):
        deliver(open_folder(tmp_path / "allowed" / "link", tmp_path / "allowed"), tmp_path / "spool", AT)
    assert len(list((tmp_path / "spool").iterdir())) == 2, "it stays until it can be delivered"


class KeptRequests:
    """S3's client, which keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def put_object(self, **members: Any) -> None:
        self.asked.append(members)

    def bucket(self, name: str) -> Bucket:
        return Bucket(name, self, 1024)


@pytest.mark.parametrize("key", ["", "alias/captures"])
def test_a_bucket_gets_whole_objects_encrypted_by_the_key(tmp_path: Path, key: str) -> None:
    s3 = KeptRequests()
    path = tmp_path / "file"
    path.write_bytes(b"1\n")
    BucketDestination(cast(S3, s3), "captures", "all/fraud/blue", key).put(path, "2026/03/01/12/a.jsonl")
    encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
    named = {"Bucket": "captures", "Key": "all/fraud/blue/2026/03/01/12/a.jsonl"}
    assert s3.asked == [{**named, "ContentType": "application/jsonlines", "Body": b"1\n", **encrypted}]
    assert not path.exists()


def test_an_address_without_a_meaning_is_an_error() -> None:
    with pytest.raises(TidegateError):
        open_destination(Capture("ftp://x/y"), "e/v", [], ("", "us-east-1"))
