"""Models as they are kept on this machine's disk, ready to be loaded: shared by the replicas of a fleet.

A model is one file (a forest) or one folder (anything else: ``mark`` and ``model/``). Each has a good version, what
clients get, and during a turnover the next one. All of it can be made again from the artifacts, but for one thing:
the good version of a model whose newer artifact was refused. A version appears whole or not at all.
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
"""Seconds in which a forest that was made or loaded does not go: another replica may be about to read it."""
_UNCOUNTED = 0.05
"""Part of the limit that forests may grow by before they are counted again."""


@dataclass(frozen=True)
class Kept:
    """``size``: bytes of its files. ``forest``: one file, else a folder."""

    path: Path
    forest: bool
    mark: str
    size: int

    @property
    def model(self) -> Path:
        return self.path if self.forest else self.path / "model"


class Store:
    """Methods block; ``key`` is ``targets.key_of`` of a model's name. ``limit``: bytes that forests may take on the
    disk; None: no limit."""

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._limit = limit
        self._added = sys.maxsize
        """Bytes since all were counted: other replicas add to them, too."""

    def path(self, key: str, which: str) -> Path:
        return self.folder / key[:2] / f"{key}.{which}"

    def find(self, key: str, which: str = GOOD) -> Kept | None:
        """A forest's mark is in its file, and not read here."""
        path = self.path(key, which)
        try:
            if path.is_dir():
                size = sum(part.stat().st_size for part in (path / "model").rglob("*") if part.is_file())
                return Kept(path, False, (path / "mark").read_text(), size)
            return Kept(path, True, "", path.stat().st_size)
        except OSError:
            return None

    def used(self, path: Path) -> None:
        """A forest was loaded: those that were not for longest go first."""
        if self._limit is not None:
            with suppress(OSError):
                os.utime(path)

    def added(self, size: int, now: float) -> None:
        """A forest of ``size`` bytes is new. Where there is too much now (epoch seconds), others go. One that goes is
        made again from its artifact, so a good version stays whose artifact was refused since."""
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
        """The next version is the good one from here on; nothing where another replica was quicker."""
        new, good = self.path(key, NEXT), self.path(key, GOOD)
        with suppress(OSError):
            if new.exists():
                place(new, good)

    def refuse(self, key: str, mark: str) -> None:
        """The artifact with this mark is not tried again, by any replica."""
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
    """A file or a folder, if it is there."""
    try:
        path.unlink()
    except IsADirectoryError:
        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        pass


def place(partial: Path, path: Path) -> None:
    """Puts what is complete at ``partial`` in its place."""
    path.parent.mkdir(exist_ok=True, mode=0o700)
    if partial.is_dir() or path.is_dir():
        remove(path)
    partial.replace(path)
