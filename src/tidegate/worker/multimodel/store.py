"""Models as they are kept on this machine's disk, ready to be loaded: shared by the replicas of a fleet.

A model is one file (a forest) or one folder (anything else: ``mark`` and ``model/``). Each has a good version, what
clients get, and during a turnover the next one. All of it can be made again from the artifacts, but for one thing:
the good version of a model whose newer artifact was refused. A version appears whole or not at all.
"""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GOOD, NEXT = "good", "next"


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
    """Methods block; ``key`` is ``targets.key_of`` of a model's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

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
