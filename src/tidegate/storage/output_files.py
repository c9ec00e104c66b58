"""Outputs that are files: each appears whole under its name or not at all, however the process ends.

Small outputs that arrive together are brought to the disk together: an fsync for each costs more than all the rest of
a request.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from tidegate.domain.errors import ArtifactError, TidegateError, Transient
from tidegate.host.atomic_write import sync_folder
from tidegate.host.group_commit import Done, GroupCommit
from tidegate.storage.addresses import parse
from tidegate.storage.files import CHUNK, check_roots, unwritable

ROOTS_SETTING = "TIDEGATE_OUTPUT_ROOTS"
FRESH = 1.0
"""Seconds for which the resolved path of a folder is cached."""
MOST_CACHED = 1_000
GATHER = 0.01
"""Seconds that small outputs wait for others that are brought to the disk with them."""
FEW = 4
"""Up to this many files are fsynced one by one; for more, one syncfs is faster."""
_SYNCFS: Callable[[int], int] | None = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


class OutputFile(NamedTuple):
    """One output to write. ``body`` is bytes, or a file that is copied. ``attempt`` counts from 1; partial files of
    earlier attempts are removed. ``late`` returns whether another process may write this output by now, so that
    nothing more must appear."""

    address: str
    body: bytes | Path
    attempt: int
    late: Callable[[], bool] = lambda: False


class OutputFiles:
    """Writes files below ``roots`` alone. All but ``put`` blocks. Raises ArtifactError for an address that may not be
    written, and Transient for every error of the disk: folders and permissions are mended while requests wait."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(root.resolve() for root in roots)
        self._resolved: dict[str, tuple[str, float]] = {}
        """Folder as it is named -> its real path, and when that was found."""
        self._small: GroupCommit[OutputFile, TidegateError | None] = GroupCommit(self._put_in_thread, GATHER)

    def exists(self, address: str) -> bool:
        return self._resolve(address).exists()

    async def put(self, output: OutputFile) -> None:
        """Returns when the output is on the disk."""
        if isinstance(output.body, bytes):
            error = await self._small.do(output)
        else:
            (error,) = await self._put_in_thread([output])
        if error:
            raise error

    def submit(self, output: OutputFile, done: Done[TidegateError | None]) -> None:
        """Like ``put`` of a small output, without a task: ``done`` gets the error, or that there is none."""
        self._small.submit(output, done)

    def put_all(self, outputs: Sequence[OutputFile]) -> list[TidegateError | None]:
        """Returns the error of each. Large outputs should be put alone."""
        one_by_one = len(outputs) <= FEW or _SYNCFS is None
        with _FileSystems() as file_systems:
            written = [self._write(output, one_by_one, file_systems) for output in outputs]
            error = file_systems.sync()
            ends = [
                _publish(output, *made, error) if isinstance(made, tuple) else made
                for output, made in zip(outputs, written, strict=True)
            ]
            # Whoever is told that an output is there records it: a power failure must not undo the rename then.
            folders = {os.path.dirname(made[1]) for made in written if isinstance(made, tuple)}
            undone = _sync_names(folders) if one_by_one or len(folders) <= FEW else file_systems.sync()
        if undone is None:
            return ends
        return [end or _transient(output.address, undone) for output, end in zip(outputs, ends, strict=True)]

    def append(self, address: str, line: bytes) -> None:
        """Adds a line to a file, in one write, and brings it to the disk."""
        path = self._resolve(address)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise _transient(address, error) from None

    async def _put_in_thread(self, outputs: list[OutputFile]) -> list[TidegateError | None]:
        return await asyncio.to_thread(self.put_all, outputs)

    def _write(
        self, output: OutputFile, one_by_one: bool, file_systems: "_FileSystems"
    ) -> tuple[str, str] | TidegateError:
        """The partial file and its target. The file is on the disk only with ``one_by_one``."""
        try:
            target = self._target(output.address)
            partial = _prepare(target, output.attempt)
            with _create(partial) as file:
                if not one_by_one:
                    file_systems.add(os.path.dirname(target))
                if isinstance(output.body, bytes):
                    file.write(output.body)
                else:
                    with output.body.open("rb") as source:
                        shutil.copyfileobj(source, file, CHUNK)
                if one_by_one:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            return _transient(output.address, error)
        except TidegateError as error:
            return error
        return partial, target

    def _target(self, address: str) -> str:
        """Return the path at which a whole file is put. A link under that name is replaced and not followed, so only
        the folder is resolved: every ``FRESH`` seconds, since thousands of outputs may share it."""
        named, _, name = _path_of(address).rpartition("/")
        if name in ("", ".", ".."):
            return str(self._resolve(address))
        cached = self._resolved.get(named)
        if cached is None or time.monotonic() - cached[1] > FRESH:
            folder = self._check(address, Path(named or "/"))
            self._resolved = {} if len(self._resolved) >= MOST_CACHED else self._resolved
            cached = self._resolved[named] = str(folder), time.monotonic()
        return f"{cached[0]}/{name}"

    def _resolve(self, address: str) -> Path:
        return self._check(address, Path(_path_of(address)))

    def _check(self, address: str, path: Path) -> Path:
        try:
            real = path.resolve()
            check_roots(real, self._roots, ROOTS_SETTING)
        except TidegateError as error:
            raise type(error)(f"{address}: {error}") from None
        return real


class _FileSystems:
    """The file systems that files are written to; opened beforehand, so that syncfs reports all of their errors."""

    def __init__(self) -> None:
        self._open: dict[int, int] = {}
        self._seen = set[str]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self._open.values():
            os.close(folder)

    def add(self, folder: str) -> None:
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
        """Brings everything that was written to the disk; returns the first error."""
        for folder in self._open.values():
            if _SYNCFS is not None and _SYNCFS(folder):
                number = ctypes.get_errno()
                return OSError(number, os.strerror(number))
        return None


def _sync_names(folders: Iterable[str]) -> OSError | None:
    """Bring the names in these folders to the disk; returns the first error."""
    for folder in folders:
        try:
            sync_folder(folder)
        except OSError as error:
            return error
    return None


def _publish(output: OutputFile, partial: str, target: str, error: OSError | None) -> TidegateError | None:
    """Rename a partial file to its output. ``error`` is that of the disk's sync: the output must not appear then."""
    try:
        if error is not None:
            raise error
        if output.late():
            os.unlink(partial)
            return Transient(f"{output.address}: its lease ran out while it was brought to the disk")
        os.replace(partial, target)
    except OSError as failed:
        return _transient(output.address, failed)
    return None


def _prepare(target: str, attempt: int) -> str:
    """The name of the partial file beside its target. Removes what earlier attempts left."""
    for earlier in range(1, attempt):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(_partial(target, earlier))
    return _partial(target, attempt)


def _create(path: str) -> BinaryIO:
    """The file, empty. Its folder is made if it turns out to be missing, which spares thousands of files a look."""
    try:
        return open(path, "wb")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return open(path, "wb")


def _partial(target: str, attempt: int) -> str:
    folder, _, name = target.rpartition("/")
    return f"{folder}/.{name}.{attempt}.part"


def _path_of(address: str) -> str:
    try:
        return parse(address).path
    except ArtifactError as error:
        raise ArtifactError(f"{address}: {error}") from None


def _transient(address: str, error: OSError) -> Transient:
    return Transient(str(unwritable(address, error)))
