"""Inputs and outputs of asynchronous requests: objects of an S3, or files.

What is put appears whole under its address or not at all, however the process ends; putting it again puts the same
one. Every method blocks: call them in threads. Raises ArtifactError for what will stay wrong, Transient for the rest.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tidegate.model.errors import ArtifactError, Transient

Body = bytes | Path
CHUNK = 1024 * 1024
PART = 8 * 1024 * 1024
"""Bytes of a part, where an object goes up in several."""
CLIENTS = 64
"""Connections to the S3."""
FRESH = 1.0
MOST_CHECKED = 1_000
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
    """``readable`` None: files anywhere may be read. Files are written below ``writable`` alone."""

    def __init__(
        self,
        readable: tuple[Path, ...] | None,
        writable: tuple[Path, ...],
        s3_endpoint: str,
        region: str,
        most: int,
    ) -> None:
        self._readable = None if readable is None else tuple(root.resolve() for root in readable)
        self._writable = tuple(root.resolve() for root in writable)
        self._s3_endpoint = s3_endpoint
        self._region = region
        self._most = most
        self._s3: Any = None
        self._checked: dict[str, tuple[Path, float]] = {}
        """Folder as it is named -> as it is, and when that was looked at."""

    def fetch(self, address: str, scratch: Path) -> Path:
        """The input as a file: the very one where it is one, else ``scratch`` with the object in it."""
        if address.startswith("file://"):
            path = self._file(address, self._readable, "read")
            if not path.is_file():
                raise ArtifactError(f"{address}: there is no such file")
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

    def put(self, address: str, body: Body, content_type: str, fence: int) -> None:
        """``fence`` tells this try from earlier ones, whose leavings are taken away."""
        if address.startswith("file://"):
            self._put_file(address, body, fence)
            return
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
            return self._file(address, self._writable, "written").exists()
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

    def append(self, address: str, line: bytes) -> None:
        """One line at the end of a file, in one write."""
        path = self._file(address, self._writable, "written")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise Transient(f"{address} cannot be written: {error.strerror}") from None

    def _put_file(self, address: str, body: Body, fence: int) -> None:
        path = self._place(address)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for older in range(1, fence):
                _part(path, older).unlink(missing_ok=True)
            new = _part(path, fence)
            with new.open("wb") as output:
                if isinstance(body, bytes):
                    output.write(body)
                else:
                    with body.open("rb") as file:
                        shutil.copyfileobj(file, output, CHUNK)
                output.flush()
                os.fsync(output.fileno())
            new.replace(path)
        except OSError as error:
            raise Transient(f"{address} cannot be written: {error.strerror}") from None

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

    def _place(self, address: str) -> Path:
        """Where a whole file is put. A link under that name is replaced and not followed, so that the folder alone
        is resolved; for one that thousands are put into, every ``FRESH`` seconds."""
        path = Path(unquote(urlsplit(address).path))
        if path.name in ("", ".."):
            return self._file(address, self._writable, "written")
        checked = self._checked.get(str(path.parent))
        if checked is None or time.monotonic() - checked[1] > FRESH:
            folder = self._file(path.parent.as_uri(), self._writable, "written")
            self._checked = {} if len(self._checked) >= MOST_CHECKED else self._checked
            checked = self._checked[str(path.parent)] = folder, time.monotonic()
        return checked[0] / path.name

    def _file(self, address: str, roots: tuple[Path, ...] | None, what: str) -> Path:
        path = Path(unquote(urlsplit(address).path)).resolve()
        if roots is not None and not any(path.is_relative_to(root) for root in roots):
            within = ", ".join(str(root) for root in roots) or "none"
            raise ArtifactError(f"{address} may not be {what} by this server; folders for that: {within}")
        return path

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
                self._s3 = botocore.session.get_session().create_client(
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


def _part(path: Path, fence: int) -> Path:
    return path.with_name(f".{path.name}.{fence}.part")


def _chunks(file: IO[bytes], size: int) -> Iterator[bytes]:
    while data := file.read(size):
        yield data
