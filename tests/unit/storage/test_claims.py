"""Outputs that another process may take over: once a claim is late nothing more appears, half-written or whole."""

import asyncio
import errno
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tidegate.domain.errors import Transient
from tidegate.features.asynchronous.dispatcher.objects import Objects
from tidegate.storage.files import Claim, move
from tidegate.storage.output_files import OutputFile, OutputFiles
from tidegate.storage.s3 import Bucket

LATE = Claim(2, lambda: True)
PART = 4
"""Bytes of a part of an upload."""


@dataclass
class Client:
    """Of botocore; counts calls."""

    calls: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        def call(**given: Any) -> dict[str, Any]:
            self.calls.append(name)
            return {"UploadId": "u", "ETag": "e"}

        return call


@dataclass
class Store:
    """In place of ``S3``."""

    client: Client

    def bucket(self, name: str) -> Bucket:
        return Bucket(name, self.client, PART)


@pytest.mark.parametrize("body", [b"123", b"12345"])
def test_nothing_is_uploaded_whole_once_the_claim_is_late(tmp_path: Path, body: bytes) -> None:
    client, part, note = Client(), tmp_path / "part", tmp_path / "note"
    part.write_bytes(body)
    with pytest.raises(Transient, match="lease"):
        Bucket("b", client, PART).upload(part, "key", note, claim=LATE)
    assert not {"put_object", "complete_multipart_upload"} & set(client.calls)
    assert client.calls.count("abort_multipart_upload") == client.calls.count("create_multipart_upload")
    Bucket("b", client, PART).upload(part, "key", note, claim=Claim(3, lambda: False))
    assert client.calls[-1] in ("put_object", "complete_multipart_upload")


@pytest.mark.parametrize("large", [False, True])
def test_a_dispatcher_that_lost_its_lease_uploads_no_answer(tmp_path: Path, large: bool) -> None:
    client, answer = Client(), tmp_path / "answer"
    answer.write_bytes(bytes(2 * PART))
    objects = Objects(OutputFiles([tmp_path]), None, "", "us-east-1", 1 << 20)
    objects.__dict__["_s3"] = Store(client)
    output = OutputFile("s3://b/a.out", answer if large else b"answer", 2, lambda: True)
    with pytest.raises(Transient, match=r"s3://b/a\.out: the lease"):
        asyncio.run(objects.put(output, "text/csv"))
    assert not {"put_object", "complete_multipart_upload"} & set(client.calls)


def test_a_file_of_another_disk_is_copied_beside_its_target_and_only_while_the_claim_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, target = tmp_path / "work" / "part", tmp_path / "out" / "a.out"
    part.parent.mkdir()
    part.write_text("new")
    target.parent.mkdir()
    target.write_text("old")
    for earlier in (1, 2):
        target.with_name(f".a.out.{earlier}.part").write_text("half")
    replace = Path.replace

    def across_disks(self: Path, to: Path) -> Path:
        if self.parent != Path(to).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", across_disks)
    looks = iter([False, True])
    with pytest.raises(Transient, match="lease"):
        move(part, target, Claim(3, lambda: next(looks)))
    assert target.read_text() == "old" and [path.name for path in target.parent.iterdir()] == ["a.out"]
    move(part, target, Claim(4, lambda: False))
    assert target.read_text() == "new" and [path.name for path in target.parent.iterdir()] == ["a.out"]
