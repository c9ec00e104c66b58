"""Model data of versions, kept in the state folder under the digest of its content.

What is kept is what the fleet runs with: the unpacked folder, whatever it was fetched from. Files are linked where
the file system can, so that they take no further space while the fleet exists.
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.domain.errors import ArtifactError
from tidegate.domain.fleet import FleetId
from tidegate.serving.artifacts.durable_tree import sync, sync_tree

DIGEST = re.compile(r"sha256-[0-9a-f]{64}")


@dataclass(frozen=True)
class ArtifactStore:
    """Implements ``ports.artifacts.Artifacts``. ``folder`` holds a folder per digest; ``model_folder`` returns where
    a fleet's model data is."""

    folder: Path
    model_folder: Callable[[FleetId], Path]
    _sizes: dict[str, int] = field(default_factory=dict, compare=False)
    """Sizes measured so far. The content under a digest does not change."""

    def keep(self, fleet: FleetId, containers: int) -> tuple[str, ...] | None:
        model = self.model_folder(fleet)
        trees = [model] if containers == 1 else [model / str(number) for number in range(1, containers + 1)]
        if not all(tree.with_name(f"{tree.name}.complete").exists() for tree in trees):
            return None
        return tuple(self._keep_tree(tree) for tree in trees)

    def verify(self, digest: str) -> bool:
        tree = self.path(digest)
        try:
            return tree.is_dir() and digest_tree(tree) == digest
        except (OSError, ArtifactError):
            return False

    def sizes(self) -> Mapping[str, int]:
        found = {}
        for tree in self._trees():
            size = self._sizes.get(tree.name)
            if size is None:
                size = _size(tree)
                if tree.is_dir():  # otherwise it was removed while it was measured
                    self._sizes[tree.name] = size
            found[tree.name] = size
        return found

    def retain(self, digests: Collection[str]) -> None:
        for tree in self._trees():
            if tree.name not in digests:
                gone = self._temporary()
                tree.rename(gone / tree.name)  # in one step: what is found under a digest is whole
                shutil.rmtree(gone, ignore_errors=True)

    def path(self, digest: str) -> Path:
        """Return the folder of a digest. Raises ArtifactError for text that is no digest, which might be a path to
        anywhere."""
        if not DIGEST.fullmatch(digest):
            raise ArtifactError(f"{digest!r} is not a digest of model data")
        return self.folder / digest

    def _keep_tree(self, tree: Path) -> str:
        digest = digest_tree(tree)
        target = self.path(digest)
        if target.is_dir():
            return digest
        partial = self._temporary()
        try:
            copy = partial / "tree"
            shutil.copytree(tree, copy, copy_function=_link_or_copy)
            if digest_tree(copy) != digest:
                raise ArtifactError(f"{tree} changed while it was kept")
            sync_tree(copy)
            copy.rename(target)
            sync(self.folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return digest

    def _temporary(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Path(tempfile.mkdtemp(prefix=".", dir=self.folder))

    def _trees(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [entry for entry in self.folder.iterdir() if DIGEST.fullmatch(entry.name)]

    def remove_partial(self) -> None:
        """Remove what an earlier controller left half done."""
        for entry in self.folder.glob(".*") if self.folder.is_dir() else ():
            shutil.rmtree(entry, ignore_errors=True)


def digest_tree(root: Path) -> str:
    """Digest of the names, contents and executable bits below a folder. Raises OSError, and ArtifactError for
    anything but folders and plain files."""
    lines = []
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        name = os.fsencode(path.relative_to(root)).hex()
        if stat.S_ISDIR(mode):
            lines.append(f"folder {name}")
        elif stat.S_ISREG(mode):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{'program' if mode & 0o100 else 'file'} {name} {content}")
        else:
            raise ArtifactError(f"{path} is neither a folder nor a plain file")
    return f"sha256-{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def _size(tree: Path) -> int:
    return sum(path.lstat().st_size for path in tree.rglob("*") if path.is_file())


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)
