"""Inputs and outputs of asynchronous requests that are files.

What is put appears whole under its name or not at all, however the process ends. Small outputs that come together
are brought to the disk together: waiting for each alone costs more than all the rest of a request.
"""

import asyncio
import ctypes
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

from tidegate.domain.errors import ArtifactError, TidegateError, Transient
from tidegate.host.group_commit import GroupCommit

Body = bytes | Path
CHUNK = 1024 * 1024
FRESH = 1.0
"""Seconds for which a folder that was looked at stays what it was."""
MOST_CHECKED = 1_000
FEW = 4
"""Files that are brought to the disk one by one; with more, the file system is asked for all at once."""
_SYNCFS: Callable[[int], int] | None = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


class Output(NamedTuple):
    """What is put where. ``fence`` tells this try of the request from earlier ones, whose leavings are taken away.
    ``late``: another may have the request by now, so that nothing more must appear."""

    address: str
    body: Body
    fence: int
    late: Callable[[], bool] = lambda: False


class Files:
    """``readable`` None: files anywhere may be read. Files are written below ``writable`` alone. All but ``put``
    blocks: in a thread. Raises ArtifactError for what will stay wrong, Transient for the rest."""

    def __init__(self, readable: tuple[Path, ...] | None, writable: tuple[Path, ...]) -> None:
        self._readable = None if readable is None else tuple(root.resolve() for root in readable)
        self._writable = tuple(root.resolve() for root in writable)
        self._checked: dict[str, tuple[Path, float]] = {}
        """Folder as it is named -> as it is, and when that was looked at."""
        self._small: GroupCommit[Output, TidegateError | None] = GroupCommit(self._put_in_thread)

    def input(self, address: str) -> Path:
        path = self._file(address, self._readable, "read")
        if not path.is_file():
            raise ArtifactError(f"{address}: there is no such file")
        return path

    def exists(self, address: str) -> bool:
        return self._file(address, self._writable, "written").exists()

    async def put(self, output: Output) -> None:
        """Returns when it is there, and on the disk."""
        if isinstance(output.body, bytes):
            error = await self._small.do(output)
        else:
            (error,) = await self._put_in_thread([output])
        if error:
            raise error

    def put_all(self, outputs: Sequence[Output]) -> list[TidegateError | None]:
        """Blocks. What went wrong with each; large ones come alone."""
        alone = len(outputs) <= FEW or _SYNCFS is None
        with _Disks() as disks:
            written = [self._written(output, alone, disks) for output in outputs]
            trouble = disks.sync()
        return [
            _replaced(output, *made, trouble) if isinstance(made, tuple) else made
            for output, made in zip(outputs, written, strict=True)
        ]

    def append(self, address: str, line: bytes) -> None:
        """One line at the end of a file, in one write."""
        path = self._file(address, self._writable, "written")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise _trouble(address, error) from None

    async def _put_in_thread(self, outputs: list[Output]) -> list[TidegateError | None]:
        return await asyncio.to_thread(self.put_all, outputs)

    def _written(self, output: Output, alone: bool, disks: "_Disks") -> tuple[Path, Path] | TidegateError:
        """Beside its place, and the place; on the disk only with ``alone``."""
        try:
            path = self._place(output.address)
            new = _way_for(path, output.fence)
            if not alone:
                disks.add(path.parent)
            with new.open("wb") as file:
                if isinstance(output.body, bytes):
                    file.write(output.body)
                else:
                    with output.body.open("rb") as source:
                        shutil.copyfileobj(source, file, CHUNK)
                if alone:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            return _trouble(output.address, error)
        except TidegateError as error:
            return error
        return new, path

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


class _Disks:
    """The file systems that files are written to; opened before, so that none of their errors is missed."""

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        self._seen = set[Path]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self._open.values():
            os.close(folder)

    def add(self, folder: Path) -> None:
        if folder in self._seen:
            return
        opened = os.open(folder, os.O_RDONLY)
        device = os.fstat(opened).st_dev
        if device in self._open:
            os.close(opened)
        else:
            self._open[device] = opened
        self._seen.add(folder)

    def sync(self) -> OSError | None:
        """Everything that was written is on the disk, unless there is trouble."""
        for folder in self._open.values():
            if _SYNCFS is not None and _SYNCFS(folder):
                number = ctypes.get_errno()
                return OSError(number, os.strerror(number))
        return None


def _replaced(output: Output, new: Path, path: Path, trouble: OSError | None) -> TidegateError | None:
    try:
        if trouble is not None:
            raise trouble
        if output.late():
            new.unlink()
            return Transient(f"{output.address}: its lease ran out while it was brought to the disk")
        new.replace(path)
    except OSError as error:
        return _trouble(output.address, error)
    return None


def _way_for(path: Path, fence: int) -> Path:
    """A name beside the place, whose folder is there; what earlier tries left is gone."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    for older in range(1, fence):
        _part(path, older).unlink(missing_ok=True)
    return _part(path, fence)


def _part(path: Path, fence: int) -> Path:
    return path.with_name(f".{path.name}.{fence}.part")


def _trouble(address: str, error: OSError) -> TidegateError:
    return Transient(f"{address} cannot be written: {error.strerror}")
