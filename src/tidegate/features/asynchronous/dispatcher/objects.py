"""Inputs and outputs of asynchronous requests: objects of an S3, or files.

An output appears whole under its address or not at all, however the process ends; putting it again is harmless.
All but ``put`` blocks. Raises ArtifactError for what is permanent, Transient for what is not. That this server cannot
use S3 at all is not the request's fault: the request waits until it can.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from tidegate.domain.errors import ArtifactError, MissingArtifact, TidegateError, Transient
from tidegate.host.group_commit import Done
from tidegate.storage import files
from tidegate.storage.addresses import Address, parse
from tidegate.storage.files import Claim
from tidegate.storage.output_files import OutputFile, OutputFiles
from tidegate.storage.s3 import S3, S3Unusable

CONNECTIONS = 64
"""To the S3."""
READ_TIMEOUT = 60.0
"""Seconds."""
PART = 8 * 1024 * 1024
"""Bytes of a part of an upload: each thread may hold one in memory."""


class Objects:
    """``readable``: folders that inputs may lie in; None: any. ``most``: bytes of an input."""

    def __init__(
        self, outputs: OutputFiles, readable: Sequence[Path] | None, s3_endpoint: str, region: str, most: int
    ) -> None:
        self._outputs = outputs
        self._readable = readable
        self._s3_endpoint = s3_endpoint
        self._region = region
        self._most = most

    def fetch(self, address: str, scratch: Path) -> Path:
        """The input as a file: the input itself if it is a file, else ``scratch`` with the object in it."""
        with _name_in_errors(address):
            parsed = parse(address)
            if parsed.is_file:
                path = files.resolve_existing(Path(parsed.path), self._readable)
                if not path.is_file():
                    raise MissingArtifact("there is no such file")
                self._check_size(path.stat().st_size)
                return path
            with scratch.open("wb") as output:
                self._s3.bucket(parsed.bucket).download(parsed.path, output, self._check_size)
            return scratch

    async def put(self, output: OutputFile, content_type: str) -> None:
        """Returns when the output is there; does not block."""
        parsed = _parse(output.address)
        if parsed.is_file:
            await self._outputs.put(output)
        else:
            await asyncio.to_thread(self._upload, output, parsed, content_type)

    def submit(self, output: OutputFile, done: Done[TidegateError | None]) -> None:
        """``put`` of a small output that is a file, without a task: ``done`` gets the error, if there is one."""
        self._outputs.submit(output, done)

    def _upload(self, output: OutputFile, parsed: Address, content_type: str) -> None:
        with _name_in_errors(output.address):
            claim = Claim(output.attempt, output.late)
            self._s3.bucket(parsed.bucket).upload(output.body, parsed.path, content_type=content_type, claim=claim)

    def exists(self, address: str) -> bool:
        """Raises Transient where that cannot be known now."""
        parsed = _parse(address)
        if parsed.is_file:
            return self._outputs.exists(address)
        try:
            self._s3.bucket(parsed.bucket).head(parsed.path)
        except MissingArtifact:
            return False
        except (ArtifactError, Transient) as error:
            raise Transient(f"{address}: {error}") from None
        return True

    def _check_size(self, size: int) -> None:
        if size > self._most:
            raise ArtifactError(f"it has {size} bytes: {self._most} is the most")

    @cached_property
    def _s3(self) -> S3:
        return S3(
            self._s3_endpoint, self._region, connections=CONNECTIONS, read_timeout=READ_TIMEOUT, part_size=PART
        )


def _parse(address: str) -> Address:
    with _name_in_errors(address):
        return parse(address)


@contextmanager
def _name_in_errors(address: str) -> Iterator[None]:
    """Names the address in errors."""
    try:
        yield
    except S3Unusable as error:
        raise Transient(f"{address}: {error}") from None
    except (ArtifactError, Transient) as error:
        raise type(error)(f"{address}: {error}") from None
    except OSError as error:
        raise Transient(f"{address}: {error.strerror or error}") from None
