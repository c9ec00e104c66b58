"""Reads and writes objects of an S3 by botocore: any S3, by endpoint URL; credentials by botocore's own rules."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from tidegate.domain.errors import ArtifactError, MissingArtifact, Transient
from tidegate.host import aws_credentials

_PART = 1024 * 1024
UPLOAD = 16 * 1024 * 1024
"""Bytes of a part of an upload; 10,000 parts are the most, so that larger files have larger parts."""
_RESUMES = 5
"""Times that a download which broke off goes on where it stopped; requests have botocore's retries besides."""
_CHANGED = {code: "the object was changed meanwhile" for code in ("PreconditionFailed", "412")}
_MISSING = {
    "NoSuchKey": "there is no such object",
    "404": "there is no such object",
    "NoSuchBucket": "there is no such bucket",
}
_PERMANENT = {
    "AccessDenied": "access is denied",
    "403": "access is denied",
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "InvalidBucketName": "this is not a bucket's name",
    "PermanentRedirect": "the bucket lies in another region",
    **_CHANGED,
}

_RETRIED = {408, 409, 425, 429}
_PASSING = {
    *("SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"),
    *(
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ExpiredToken",
        "NoSuchUpload",
        "OperationAborted",
        "QuotaExceeded",
    ),
}
"""Statuses, and codes of errors with others from 400 to 499, after which the same request may work later."""


class Bucket:
    """Raises ArtifactError for what will stay wrong, Transient for the rest."""

    def __init__(self, name: str, endpoint: str, region: str) -> None:
        self._name = name
        config = Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 4},
            s3={"addressing_style": "path"} if endpoint else None,
        )
        try:
            self._client: Any = aws_credentials.session(os.environ).create_client(
                "s3", endpoint_url=endpoint or None, region_name=region, config=config
            )
        except (BotoCoreError, ValueError) as error:
            raise ArtifactError(f"S3 cannot be used: {error}") from None

    def keys(self, prefix: str) -> Iterator[str]:
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix):
                for item in page.get("Contents", ()):
                    yield item["Key"]
        except (BotoCoreError, ClientError) as error:
            raise _told(error) from None

    def sizes(self, prefix: str) -> Iterator[tuple[str, int, str]]:
        """Key, bytes and ETag of each object."""
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix):
                for item in page.get("Contents", ()):
                    yield item["Key"], int(item["Size"]), item["ETag"]
        except (BotoCoreError, ClientError) as error:
            raise _told(error) from None

    def size(self, key: str) -> tuple[int, str]:
        """Bytes and ETag."""
        try:
            found = self._client.head_object(Bucket=self._name, Key=key)
            return int(found["ContentLength"]), str(found["ETag"])
        except (BotoCoreError, ClientError) as error:
            raise _told(error) from None

    def read(self, key: str, offset: int, etag: str) -> Iterator[bytes]:
        """The object's bytes from ``offset`` on, of this very version."""
        done, fruitless = offset, 0
        while fruitless < _RESUMES:
            fruitless += 1
            try:
                answer = self._client.get_object(
                    Bucket=self._name, Key=key, IfMatch=etag, **({"Range": f"bytes={done}-"} if done else {})
                )
                left = int(answer["ContentLength"])
                while part := answer["Body"].read(_PART):
                    done, left, fruitless = done + len(part), left - len(part), 0
                    yield part
                if not left:
                    return
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                continue
            except ClientError as error:
                if error.response.get("Error", {}).get("Code", "") in ("InvalidRange", "416"):
                    return
                raise _told(error) from None
            except BotoCoreError as error:
                raise _told(error) from None
        raise Transient(f"the download broke off {_RESUMES} times, last at byte {done}")

    def upload(self, path: Path, key: str, note: Path | None = None) -> None:
        """The object appears whole: by one request, or by the last one of many. ``note``: a file that names the
        upload while it is not whole, so that one which a kill left behind is found and aborted."""
        size = path.stat().st_size
        try:
            if note is not None:
                self.abort(note)
            with path.open("rb") as file:
                if size <= UPLOAD:
                    self._client.put_object(Bucket=self._name, Key=key, Body=file.read())
                else:
                    self._upload_parts(file, key, max(UPLOAD, -(-size // 9_000)), note)
        except (BotoCoreError, ClientError) as error:
            raise _told(error) from None

    def _upload_parts(self, file: IO[bytes], key: str, length: int, note: Path | None) -> None:
        where = {"Bucket": self._name, "Key": key}
        where["UploadId"] = self._client.create_multipart_upload(**where)["UploadId"]
        if note is not None:
            note.write_text(json.dumps(where))
        try:
            parts: list[dict[str, object]] = []
            while part := file.read(length):
                number = len(parts) + 1
                done = self._client.upload_part(**where, PartNumber=number, Body=part)
                parts.append({"ETag": done["ETag"], "PartNumber": number})
            self._client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
        except BaseException:
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**where)
            raise
        if note is not None:
            note.unlink(missing_ok=True)

    def abort(self, note: Path) -> None:
        """The upload that ``note`` names, if there is one. What cannot be aborted now is left to the bucket's own
        rules."""
        try:
            where = json.loads(note.read_text())
        except (OSError, ValueError):
            return
        with suppress(BotoCoreError, ClientError):
            self._client.abort_multipart_upload(**where)
        note.unlink(missing_ok=True)

    def etag(self, key: str) -> str:
        """What changes when the object does."""
        try:
            return str(self._client.head_object(Bucket=self._name, Key=key)["ETag"])
        except (BotoCoreError, ClientError) as error:
            raise _told(error) from None

    def download(self, key: str, output: IO[bytes], check: Callable[[int], None]) -> int:
        """Writes the object to ``output`` (not yet to the disk) and returns its size; ``check`` may refuse the size
        beforehand."""
        done, etag = 0, ""
        for _ in range(_RESUMES):
            try:
                answer = self._client.get_object(Bucket=self._name, Key=key, **_rest(done, etag))
                size, etag = done + int(answer["ContentLength"]), answer["ETag"]
                check(size)
                while part := answer["Body"].read(_PART):
                    output.write(part)
                    done += len(part)
                if done == size:
                    output.flush()
                    return size
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                continue
            except (BotoCoreError, ClientError) as error:
                raise _told(error) from None
        raise Transient(f"the download broke off {_RESUMES} times, last at byte {done}")


def _rest(done: int, etag: str) -> dict[str, str]:
    """What is still wanted, of the very object that was begun."""
    return {"Range": f"bytes={done}-", "IfMatch": etag} if done else {}


def _told(error: Exception) -> ArtifactError | Transient:
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        message = error.response.get("Error", {}).get("Message", "")
        if code in _MISSING:
            return MissingArtifact(_MISSING[code])
        if code in _PERMANENT:
            return ArtifactError(_PERMANENT[code])
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if 400 <= status < 500 and status not in _RETRIED and code not in _PASSING:
            return ArtifactError(f"S3 answered {code}: {message}")
        return Transient(f"S3 answered {code}: {message}")
    if isinstance(error, HTTPClientError | ConnectionError):
        return Transient(f"S3 cannot be reached: {error}")
    return ArtifactError(f"S3 cannot be used: {error}")
