"""The disk cache of prepared models, shared by the replicas of a fleet.

A model is one file (a forest) or one folder (anything else: ``mark`` and ``model/``). It has a good version, which
serves clients, and during a canary the next one. Everything can be rebuilt from the artifacts except the good version
of a model whose newer artifact was refused. Versions appear atomically.
"""

import os
import shutil
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GOOD, NEXT = "good", "next"
RECENT = 60.0
"""Seconds for which a built or loaded forest is not evicted, because another replica may be about to read it."""
_UNCOUNTED = 0.05
"""Share of the limit by which forests may grow before they are counted again."""


@dataclass(frozen=True)
class CachedModel:
    """A prepared model. ``size``: bytes of its files. ``forest``: it is one file, else a folder."""

    path: Path
    forest: bool
    mark: str
    size: int

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
        path = self.path(key, which)
        try:
            if path.is_dir():
                size = sum(part.stat().st_size for part in (path / "model").rglob("*") if part.is_file())
                return CachedModel(path, False, (path / "mark").read_text(), size)
            return CachedModel(path, True, "", path.stat().st_size)
        except OSError:
            return None

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

    def promote(self, key: str) -> None:
        """Make the next version the good one, unless another replica has done so."""
        new, good = self.path(key, NEXT), self.path(key, GOOD)
        with suppress(OSError):
            if new.exists():
                place(new, good)

    def refuse(self, key: str, mark: str) -> None:
        """Record that no replica should try the artifact with this mark again."""
        note = self.path(key, "refused")
        with suppress(OSError):
            note.parent.mkdir(exist_ok=True, mode=0o700)
            note.write_text(mark)
        remove(self.path(key, NEXT))

    def refused(self, key: str) -> str:
        try:
            return self.path(key, "refused").read_text()
        except OSError:
            return ""

    def forget(self, key: str) -> None:
        for which in (GOOD, NEXT, "refused"):
            remove(self.path(key, which))


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    try:
        path.unlink()
    except IsADirectoryError:
        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        pass


def place(partial: Path, path: Path) -> None:
    """Move the complete version at ``partial`` to ``path``."""
    path.parent.mkdir(exist_ok=True, mode=0o700)
    if partial.is_dir() or path.is_dir():
        remove(path)
    partial.replace(path)
