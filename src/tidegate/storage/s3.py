"""Objects of an S3 by botocore: any S3, by endpoint URL; credentials by botocore's own rules."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

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
from tidegate.storage.files import ALONE, Claim

# Translation of botocore's errors to errors of data: permanent (ArtifactError) or transient (Transient).


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
    "PreconditionFailed": "the object was changed meanwhile",
    "412": "the object was changed meanwhile",
}
_TRANSIENT_STATUSES = {408, 409, 425, 429}
_TRANSIENT = {
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
"""Codes of errors with a status from 400 to 499 after which the same request may succeed later."""


class S3Unusable(ArtifactError):
    """This process cannot use S3 at all: it has no credentials, or its settings are wrong. No object is to blame."""


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def translate_s3_errors(error: Exception) -> ArtifactError | Transient:
    """Translate an error of S3: a ClientError, a BotoCoreError, or a ValueError of botocore. Messages do not name the
    object."""
    if isinstance(error, ClientError):
        return _translate_answer(error)
    if isinstance(error, HTTPClientError | ConnectionError):
        return Transient(f"S3 cannot be reached: {error}")
    return S3Unusable(f"S3 cannot be used: {error}")


def _translate_answer(error: ClientError) -> ArtifactError | Transient:
    code = code_of(error)
    if code in _MISSING:
        return MissingArtifact(_MISSING[code] + _name(code))
    if code in _PERMANENT:
        return ArtifactError(_PERMANENT[code] + _name(code))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    permanent = 400 <= status < 500 and status not in _TRANSIENT_STATUSES and code not in _TRANSIENT
    kind = ArtifactError if permanent else Transient
    return kind(f"S3 answered {code}: {error.response.get('Error', {}).get('Message', '')}")


def _name(code: str) -> str:
    """S3's name of an error; answers to HEAD have a status alone."""
    return "" if code.isdigit() else f" ({code})"


ERRORS = (BotoCoreError, ClientError)
"""What calls of botocore raise."""


CHUNK = 1024 * 1024
UPLOAD = 16 * 1024 * 1024
"""Bytes of a part of an upload, each of which is held in memory. S3 takes at most 10,000 parts: parts of larger
files are larger."""
_MOST_PARTS = 9_000
_RESUMES = 5
"""Attempts in a row without a byte after which a download fails; botocore retries requests besides."""
_BROKEN_OFF = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


class ListedObject(NamedTuple):
    """An object as it was listed. ``size`` is in bytes."""

    key: str
    size: int
    etag: str


class S3:
    """One client, which threads may share. Methods raise ArtifactError for what is permanent, Transient for what is
    not; messages do not name the object."""

    def __init__(
        self,
        endpoint: str,
        region: str,
        *,
        connections: int = 10,
        read_timeout: float = 30.0,
        part_size: int = UPLOAD,
    ) -> None:
        """``connections``: how many are kept. ``read_timeout``: seconds. ``part_size``: bytes of a part of an upload,
        and the most that is uploaded in one request."""
        self._part_size = part_size
        config = Config(
            connect_timeout=5,
            read_timeout=read_timeout,
            max_pool_connections=connections,
            retries={"mode": "standard", "total_max_attempts": 4},
            s3={"addressing_style": "path"} if endpoint else None,
        )
        with _translate_errors(ValueError):
            self._client: Any = aws_credentials.session(os.environ).create_client(
                "s3", endpoint_url=endpoint or None, region_name=region, config=config
            )

    def bucket(self, name: str) -> "Bucket":
        return Bucket(name, self._client, self._part_size)


class Bucket:
    """Raises as ``S3`` does."""

    def __init__(self, name: str, client: Any, part_size: int) -> None:
        self._name = name
        self._part_size = part_size
        self._client = client

    def list(self, prefix: str) -> Iterator[ListedObject]:
        with _translate_errors():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix):
                for item in page.get("Contents", ()):
                    yield ListedObject(item["Key"], int(item["Size"]), item["ETag"])

    def head(self, key: str) -> ListedObject:
        with _translate_errors():
            found = self._client.head_object(Bucket=self._name, Key=key)
            return ListedObject(key, int(found["ContentLength"]), str(found["ETag"]))

    def read(
        self, key: str, offset: int = 0, etag: str = "", check: Callable[[int], None] = lambda size: None
    ) -> Iterator[bytes]:
        """The object's bytes from ``offset`` on, all of one version: that of ``etag``, or the one found first.
        Resumes where a connection broke off. ``check`` gets the object's size first, and may refuse it."""
        done, fruitless = offset, 0
        while fruitless < _RESUMES:
            fruitless += 1
            try:
                answer = self._client.get_object(Bucket=self._name, Key=key, **_range(done, etag))
                left, etag = int(answer["ContentLength"]), answer["ETag"]
                check(done + left)
                while part := answer["Body"].read(CHUNK):
                    done, left, fruitless = done + len(part), left - len(part), 0
                    yield part
                if not left:
                    return
            except _BROKEN_OFF:
                continue
            except ERRORS as error:
                if isinstance(error, ClientError) and code_of(error) in ("InvalidRange", "416"):
                    return  # nothing lies beyond the offset
                raise translate_s3_errors(error) from None
        raise Transient(f"the download broke off {_RESUMES} times, last at byte {done}")

    def download(self, key: str, output: IO[bytes], check: Callable[[int], None]) -> int:
        """Writes the object to ``output``, not yet to the disk, and returns its size; ``check`` as for ``read``."""
        size = 0
        for part in self.read(key, check=check):
            output.write(part)
            size += len(part)
        output.flush()
        return size

    def upload(
        self,
        body: Path | bytes,
        key: str,
        note: Path | None = None,
        *,
        content_type: str = "",
        kms_key: str = "",
        claim: Claim = ALONE,
    ) -> None:
        """The object appears whole, by one request or by the last one of several. ``note``: a file that names an
        upload in parts until it ends, so that one which a killed process left behind is found and aborted.
        ``kms_key``: the key with which S3 encrypts it; empty: as the bucket says. Raises Transient while the claim
        is in doubt."""
        named = {"Bucket": self._name, "Key": key}
        kind = {"ContentType": content_type} if content_type else {}
        if kms_key:
            kind |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}
        with _translate_errors():
            if note is not None:
                self.abort(note)
            if isinstance(body, bytes):
                claim.check()
                self._client.put_object(**named, **kind, Body=body)
                return
            size = body.stat().st_size
            with body.open("rb") as file:
                if size <= self._part_size:
                    content = file.read()
                    claim.check()
                    self._client.put_object(**named, **kind, Body=content)
                    return
                started = self._client.create_multipart_upload(**named, **kind)
                named["UploadId"] = started["UploadId"]
                self._upload_parts(file, named, max(self._part_size, -(-size // _MOST_PARTS)), note, claim)

    def _upload_parts(
        self, file: IO[bytes], named: dict[str, str], length: int, note: Path | None, claim: Claim
    ) -> None:
        if note is not None:
            note.write_text(json.dumps(named))
        try:
            parts: list[dict[str, object]] = []
            while part := file.read(length):
                number = len(parts) + 1
                sent = self._client.upload_part(**named, PartNumber=number, Body=part)
                parts.append({"ETag": sent["ETag"], "PartNumber": number})
            claim.check()
            self._client.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
        except BaseException:
            with suppress(*ERRORS):
                self._client.abort_multipart_upload(**named)
            raise
        if note is not None:
            note.unlink(missing_ok=True)

    def abort(self, note: Path) -> None:
        """Aborts the upload that ``note`` names, if there is one. What cannot be aborted now is left to the bucket's
        own rules."""
        try:
            named = json.loads(note.read_text())
        except (OSError, ValueError):
            return
        with suppress(*ERRORS):
            self._client.abort_multipart_upload(**named)
        note.unlink(missing_ok=True)


def _range(done: int, etag: str) -> dict[str, str]:
    wanted = {"Range": f"bytes={done}-"} if done else {}
    return {**wanted, "IfMatch": etag} if etag else wanted


@contextmanager
def _translate_errors(*more: type[Exception]) -> Iterator[None]:
    try:
        yield
    except (*ERRORS, *more) as error:
        raise translate_s3_errors(error) from None
