"""Model files that a person uploads: stored in the state folder under the digest of their content.

``PUT uploads/NAME`` takes the file itself as ``application/octet-stream``. A form or a script of another site cannot
send that without being asked about by the browser first, and the checks of ``auth.same_site`` hold as for all else.
"""

import asyncio
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.errors import Invalid, PayloadTooLarge, Transient
from tidegate.gateway.dependencies import Gateway

KIND = "application/octet-stream"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""No separators, no leading dot: the name is only ever one inside the upload's own folder."""


async def upload(gateway: Gateway, request: Request) -> Response:
    """Store the body. Answers with its address as model data."""
    name = request.path_params["name"]
    if not NAME.fullmatch(name):
        raise Invalid("the name of an uploaded file is 1 to 128 letters, digits, '.', '_' and '-', not '.' first")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != KIND:
        raise Invalid(f"Content-Type is '{kind}': send the file as {KIND}")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Invalid("a compressed body is not supported: send the file as it is")
    folder = gateway.settings.state / "uploads"
    limit = gateway.settings.upload_bytes - await asyncio.to_thread(_count_used, folder)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        _check_size(int(declared), limit, gateway.settings.upload_bytes)
    try:
        path, size = await _store(folder, name, _chunks(request), limit, gateway.settings.upload_bytes)
    except OSError as error:
        raise Transient(f"the file cannot be stored in {folder}: {error.strerror or error}") from None
    return JSONResponse({"data": path.as_uri(), "bytes": size}, 201)


async def _store(
    folder: Path, name: str, chunks: AsyncIterator[bytes], limit: int, whole: int
) -> tuple[Path, int]:
    """Write to a temporary folder, which is renamed once the file is whole and on disk."""
    partial = await asyncio.to_thread(_make_partial, folder)
    size, digest = 0, hashlib.sha256()
    try:
        with await asyncio.to_thread(_create, partial / name) as file:
            async for chunk in chunks:
                size += len(chunk)
                _check_size(size, limit, whole)
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
            if not size:
                raise Invalid("the file is empty")
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        # Others may have arrived meanwhile: each counted only what was there when it began.
        _check_size(await asyncio.to_thread(_count_used, folder), whole, whole)
        return await asyncio.to_thread(_publish, partial, folder / digest.hexdigest()[:32], name), size
    finally:
        await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body: of a signed request it was read already, since its signature covers it."""
    if request.state.body is not None:
        yield request.state.body
        return
    async for chunk in request.stream():
        yield chunk


def _create(path: Path) -> BinaryIO:
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))


def _make_partial(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(prefix=".", dir=folder))


def _publish(partial: Path, target: Path, name: str) -> Path:
    target.mkdir(exist_ok=True, mode=0o700)
    (partial / name).replace(target / name)
    return (target / name).absolute()


def _check_size(size: int, limit: int, whole: int) -> None:
    if size > limit:
        raise PayloadTooLarge(
            f"the file does not fit: uploads may have {whole} bytes together (TIDEGATE_UPLOAD_BYTES), and"
            f" {max(0, limit)} are left; remove files that are not needed from uploads/ in the state folder"
        )


def _count_used(folder: Path) -> int:
    """Bytes of uploads that are stored or under way."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
