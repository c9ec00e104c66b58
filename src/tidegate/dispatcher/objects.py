"""Inputs and outputs of asynchronous requests: objects of an S3, or files.

What is put appears whole under its address or not at all, however the process ends; putting it again puts the same
one. All but ``put`` blocks: call it in a thread. Raises ArtifactError for what will stay wrong, Transient for
the rest.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tidegate.dispatcher.files import CHUNK, Body, Files, Output
from tidegate.domain.errors import ArtifactError, Transient
from tidegate.host import aws_credentials

PART = 8 * 1024 * 1024
"""Bytes of a part, where an object goes up in several."""
CLIENTS = 64
"""Connections to the S3."""
PERMANENT = {
    "NoSuchKey",
    "NoSuchBucket",
    "404",
    "403",
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
}


class Objects:
    """``most``: bytes of an input."""

    def __init__(self, files: Files, s3_endpoint: str, region: str, most: int) -> None:
        self._files = files
        self._s3_endpoint = s3_endpoint
        self._region = region
        self._most = most
        self._s3: Any = None

    def fetch(self, address: str, scratch: Path) -> Path:
        """The input as a file: the very one where it is one, else ``scratch`` with the object in it."""
        if address.startswith("file://"):
            path = self._files.input(address)
            self._bounded(address, path.stat().st_size)
            return path
        bucket, key = _s3_names(address)
        with self._told(address):
            answer = self._client().get_object(Bucket=bucket, Key=key)
            self._bounded(address, int(answer["ContentLength"]))
            done = 0
            with scratch.open("wb") as output:
                while part := answer["Body"].read(CHUNK):
                    output.write(part)
                    done += len(part)
            if done != int(answer["ContentLength"]):
                raise Transient(f"{address}: the download broke off at byte {done}")
        return scratch

    async def put(self, output: Output, content_type: str) -> None:
        """Returns when it is there; does not block."""
        if output.address.startswith("file://"):
            await self._files.put(output)
        else:
            await asyncio.to_thread(self._put_object, output.address, output.body, content_type)

    def _put_object(self, address: str, body: Body, content_type: str) -> None:
        bucket, key = _s3_names(address)
        named = {"Bucket": bucket, "Key": key}
        with self._told(address):
            if isinstance(body, bytes):
                self._client().put_object(**named, Body=body, ContentType=content_type)
            elif body.stat().st_size <= PART:
                with body.open("rb") as file:
                    self._client().put_object(**named, Body=file, ContentType=content_type)
            else:
                self._put_parts(named, body, content_type)

    def exists(self, address: str) -> bool:
        if address.startswith("file://"):
            return self._files.exists(address)
        bucket, key = _s3_names(address)
        try:
            self._client().head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey", "NotFound"):
                return False
            raise Transient(f"{address}: {error}") from None
        except BotoCoreError as error:
            raise Transient(f"{address}: {error}") from None
        return True

    def _put_parts(self, named: dict[str, str], body: Path, content_type: str) -> None:
        """The object is there when all parts are: an upload that ends before leaves nothing under its name."""
        client = self._client()
        upload = client.create_multipart_upload(**named, ContentType=content_type)["UploadId"]
        try:
            parts = []
            with body.open("rb") as file:
                for number, data in enumerate(_chunks(file, PART), 1):
                    sent = client.upload_part(**named, UploadId=upload, PartNumber=number, Body=data)
                    parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            client.complete_multipart_upload(**named, UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:
            with contextlib.suppress(BotoCoreError, ClientError):
                client.abort_multipart_upload(**named, UploadId=upload)
            raise

    def _bounded(self, address: str, size: int) -> None:
        if size > self._most:
            raise ArtifactError(f"{address} has {size} bytes: {self._most} is the most")

    def _client(self) -> Any:
        if self._s3 is None:
            config = Config(
                connect_timeout=5,
                read_timeout=60,
                max_pool_connections=CLIENTS,
                retries={"mode": "standard", "total_max_attempts": 4},
                s3={"addressing_style": "path"} if self._s3_endpoint else None,
            )
            try:
                self._s3 = aws_credentials.session(os.environ).create_client(
                    "s3", endpoint_url=self._s3_endpoint or None, region_name=self._region, config=config
                )
            except (BotoCoreError, ValueError) as error:
                raise ArtifactError(f"S3 cannot be used: {error}") from None
        return self._s3

    @contextlib.contextmanager
    def _told(self, address: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            message = error.response.get("Error", {}).get("Message", "")
            kind: Callable[[str], Exception] = ArtifactError if code in PERMANENT else Transient
            raise kind(f"{address}: S3 answered {code}: {message}") from None
        except BotoCoreError as error:
            raise Transient(f"{address}: {error}") from None
        except OSError as error:
            raise Transient(f"{address}: {error.strerror or error}") from None


def _s3_names(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    key = unquote(parts.path.lstrip("/"))
    if parts.scheme != "s3" or not parts.netloc or not key:
        raise ArtifactError(f"{address} is no address of an object: use s3://BUCKET/KEY or file:///PATH")
    return parts.netloc, key


def _chunks(file: IO[bytes], size: int) -> Iterator[bytes]:
    while data := file.read(size):
        yield data
