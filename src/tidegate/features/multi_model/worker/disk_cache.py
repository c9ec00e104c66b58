"""The disk cache of prepared models, shared by the replicas of a fleet.

A model is one file (a forest) or one folder (anything else: ``mark`` and ``model/``). It has a good version, which
serves clients, and during a canary the next one. Everything can be rebuilt from the artifacts except the good version
of a model whose newer artifact was refused. Versions appear atomically.
"""

import fcntl
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tidegate.serving.runtimes.forest import DamagedForest, unpack

GOOD, NEXT = "good", "next"
RECENT = 60.0
"""Seconds for which a built or loaded forest is not evicted, because another replica may be about to read it."""
_UNCOUNTED = 0.05
"""Share of the limit by which forests may grow before they are counted again."""


@dataclass(frozen=True)
class CachedModel:
    """A prepared model. ``size``: bytes of its files. ``forest``: it is one file, else a folder. ``identity``: of the
    file or folder, which stays when it is renamed: device and inode."""

    path: Path
    forest: bool
    mark: str
    size: int
    identity: tuple[int, int]

    @property
    def model(self) -> Path:
        return self.path if self.forest else self.path / "model"


class DiskCache:
    """The cache in ``folder``. Methods block; ``key`` is ``targets.key_of`` of a model's name. ``limit``: bytes of
    forests; None: no limit."""

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._limit = limit
        self._added = sys.maxsize
        """Bytes added since the last count; other replicas add forests, too."""

    def path(self, key: str, which: str) -> Path:
        return self.folder / key[:2] / f"{key}.{which}"

    def find(self, key: str, which: str = GOOD) -> CachedModel | None:
        """Find a version. The mark of a forest is in its file, which is not read here."""
        return _describe(self.path(key, which))

    def find_again(self, found: CachedModel) -> CachedModel | None:
        """The same version, under the name that it has now, or the one that took its place; None: there is none.

        Another replica may replace a version, or make it the good one, while this one reads it."""
        here = _describe(found.path)
        return here if here is not None else _describe(found.path.with_suffix(f".{GOOD}"))

    def used(self, path: Path) -> None:
        """Note that a forest was loaded: the least recently loaded ones are evicted first."""
        if self._limit is not None:
            with suppress(OSError):
                os.utime(path)

    def added(self, size: int, now: float) -> None:
        """Note a new forest of ``size`` bytes, and evict others if the cache exceeds its limit. ``now``: epoch
        seconds. Evicted forests are rebuilt from their artifact, so a model with a refused artifact stays."""
        if self._limit is None:
            return
        self._added += size
        if self._added < self._limit * _UNCOUNTED:
            return
        found = []
        for path in self.folder.glob(f"*/*.{GOOD}"):
            with suppress(OSError):
                about = path.stat()
                if stat.S_ISREG(about.st_mode):
                    found.append((about.st_mtime, about.st_size, path))
        total, self._added = sum(size for _, size, _ in found), 0
        if total <= self._limit:
            return
        for last, size, path in sorted(found):
            if total <= self._limit * (1 - _UNCOUNTED) or now - last < RECENT:
                break
            if not path.with_suffix(".refused").exists():
                remove(path)
                total -= size

    def next_mark(self, key: str) -> str:
        """The mark of the next version; empty if there is none that can be read."""
        kept = self.find(key, NEXT)
        if kept is None or not kept.forest:
            return kept.mark if kept is not None else ""
        try:
            return unpack(kept.path.read_bytes()).head.mark
        except (OSError, DamagedForest):
            return ""

    def promote(self, key: str, mark: str) -> None:
        """Make the next version the good one, if it is still the one with this mark: another replica may have done so
        meanwhile, and have prepared a newer one that nobody has tried."""
        old = None
        with suppress(OSError), _locked(self.folder):
            if self.find(key, NEXT) is not None and self.next_mark(key) == mark:
                old = _swap(self.path(key, NEXT), self.path(key, GOOD))
        if old is not None:
            remove(old)

    def refuse(self, key: str, mark: str) -> None:
        """Record that no replica should try the artifact with this mark again."""
        note = self.path(key, "refused")
        with suppress(OSError):
            note.parent.mkdir(exist_ok=True, mode=0o700)
            note.write_text(mark)
        with suppress(OSError), _locked(self.folder):
            if self.next_mark(key) in (mark, ""):
                remove(self.path(key, NEXT))

    def refused(self, key: str) -> str:
        try:
            return self.path(key, "refused").read_text()
        except OSError:
            return ""

    def forget(self, key: str) -> None:
        for which in (GOOD, NEXT, "refused"):
            remove(self.path(key, which))


def _describe(path: Path) -> CachedModel | None:
    try:
        about = path.stat()
        identity = about.st_dev, about.st_ino
        if not stat.S_ISDIR(about.st_mode):
            return CachedModel(path, True, "", about.st_size, identity)
        size = sum(part.stat().st_size for part in (path / "model").rglob("*") if part.is_file())
        return CachedModel(path, False, (path / "mark").read_text(), size, identity)
    except OSError:
        return None


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    try:
        path.unlink()
    except IsADirectoryError:
        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        pass


def place(partial: Path, path: Path) -> None:
    """Move the complete version at ``partial`` to ``path`` in the cache."""
    with _locked(path.parent.parent):
        old = _swap(partial, path)
    if old is not None:
        remove(old)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Versions are replaced by one replica at a time; they may be read meanwhile."""
    with (folder / ".lock").open("a") as file:  # closing it ends the lock
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _swap(partial: Path, path: Path) -> Path | None:
    """Put ``partial`` in the place of ``path``. Returns where the old version lies now, if it is to be removed: a
    folder takes its time to be removed, and cannot be replaced by a rename."""
    path.parent.mkdir(exist_ok=True, mode=0o700)
    if not path.exists() or (path.is_file() and partial.is_file()):
        partial.replace(path)
        return None
    old = path.with_name(f"{path.name}.{os.getpid()}-{time.monotonic_ns()}.partial")
    path.rename(old)
    try:
        partial.replace(path)
    except OSError:
        old.rename(path)
        raise
    return old
