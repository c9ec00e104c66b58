"""Kept model data as a stream of parts, for backups, and back. What is written is checked against its digest."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

from tidegate.domain.errors import Conflict, Invalid
from tidegate.ports.artifacts import ArtifactPart
from tidegate.serving.artifacts.durable_tree import sync, sync_tree
from tidegate.targets.local.artifact_store import DIGEST, digest_tree
from tidegate.targets.local.paths import ARTIFACTS

PART = 1024 * 1024
"""Bytes of a part."""
FOLDER, FILE, PROGRAM = "folder", "file", "program"


@dataclass(frozen=True)
class LocalArtifactArchive:
    """Implements ``ports.artifacts.LocalArtifactArchive``. ``folder`` holds a folder per digest."""

    folder: Path

    def count(self) -> int:
        return sum(
            1 if path.is_dir() else max(1, -(-path.stat().st_size // PART))
            for tree in self._trees()
            for path in (tree, *tree.rglob("*"))
        )

    def read(self) -> Iterator[ArtifactPart]:
        try:
            for tree in self._trees():
                yield ArtifactPart(tree.name, "", FOLDER, b"")
                paths = sorted(tree.rglob("*"))
                os.stat(tree)  # a folder that is gone has no files either
                for path in paths:
                    yield from _read_file(tree, path)
        except FileNotFoundError as error:
            raise Conflict(f"{error.filename} was removed while it was backed up: run the backup again") from None

    def write(self, parts: Iterator[ArtifactPart]) -> int:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = 0
        for digest, of_tree in groupby(parts, key=lambda part: part.digest):
            if not DIGEST.fullmatch(digest):
                raise Invalid(f"The backup names model data {digest!r}, which is no digest: nothing was restored")
            self._write_tree(digest, of_tree)
            written += 1
        return written

    def _write_tree(self, digest: str, parts: Iterator[ArtifactPart]) -> None:
        """The folder appears whole. One that is there and as it was is left alone; a damaged one is replaced."""
        target = self.folder / digest
        partial = Path(tempfile.mkdtemp(prefix=".", dir=self.folder))
        try:
            tree = partial / "tree"
            for part in parts:
                _write_part(tree, part)
            if not tree.is_dir() or digest_tree(tree) != digest:
                raise Invalid(
                    f"Model data {digest} of the backup is damaged: nothing was restored; use another one"
                )
            sync_tree(tree)
            if target.is_dir() and digest_tree(target) != digest:
                target.rename(partial / "damaged")
            if not target.is_dir():
                tree.rename(target)
                sync(self.folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _trees(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(entry for entry in self.folder.iterdir() if DIGEST.fullmatch(entry.name) and entry.is_dir())


def open_archive(state: Path) -> LocalArtifactArchive:
    """Open the archive of a state folder, whether a server runs on it or not."""
    return LocalArtifactArchive(state.expanduser().absolute() / ARTIFACTS)


def _read_file(tree: Path, path: Path) -> Iterator[ArtifactPart]:
    name, mode = path.relative_to(tree).as_posix(), path.lstat().st_mode
    if stat.S_ISDIR(mode):
        yield ArtifactPart(tree.name, name, FOLDER, b"")
        return
    kind = PROGRAM if mode & 0o100 else FILE
    with path.open("rb") as file:
        data = file.read(PART)
        yield ArtifactPart(tree.name, name, kind, data)
        while data := file.read(PART):
            yield ArtifactPart(tree.name, name, kind, data)


def _write_part(tree: Path, part: ArtifactPart) -> None:
    """Parts of a file follow one another. Raises Invalid for a path that leads out of the tree."""
    relative = PurePosixPath(part.path)
    if relative.is_absolute() or ".." in relative.parts or "\0" in part.path:
        raise Invalid(f"The backup has model data at {part.path!r}, outside its folder: nothing was restored")
    path = tree / relative
    if part.kind == FOLDER:
        path.mkdir(exist_ok=True)
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    with open(
        path, "ab", opener=lambda name, _: os.open(name, flags, 0o755 if part.kind == PROGRAM else 0o644)
    ) as file:
        file.write(part.data)
