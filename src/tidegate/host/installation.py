"""Identify the installation that a process belongs to: a state folder, with an id that copies of it do not share.

Every process that outlives its controller has the id and the state folder's path in its command line. A later
controller adopts, signals and cleans up only those processes. The id is generated at the first start and stored in
the folder with the folder's path and inode. A copied or moved folder does not match and gets a new id, so it does not
touch the processes of the original."""

import contextlib
import itertools
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.host.atomic_write import write_atomically

FILE = "installation.json"
HEADER = "x-tidegate-installation"
"""Response header of a health check with the id, which distinguishes our server from another one on the port."""
PREFIX = "tidegate="
"""Prefix of the argument with the id in a command line."""


class _Record(msgspec.Struct):
    id: str
    path: str
    inode: int
    accepts_unmarked: bool


@dataclass(frozen=True)
class Installation:
    """``root`` is the state folder, absolute and without links."""

    root: Path
    id: str
    accepts_unmarked: bool = False
    """Whether processes without an id that name the folder are ours: an earlier version of tidegate started them."""

    @classmethod
    def find(cls, root: Path) -> "Installation | None":
        """Installation of this folder; None if there is none, or if the folder is a copy or cannot be read."""
        try:
            known = msgspec.json.decode((root / FILE).read_bytes(), type=prepare_type(_Record))
            here = (str(root), root.stat().st_ino)
        except (OSError, msgspec.DecodeError):
            return None
        return cls(root, known.id, known.accepts_unmarked) if (known.path, known.inode) == here else None

    @classmethod
    def take(cls, root: Path) -> "Installation":
        """Installation of this folder, created if there is none or if the folder is a copy. Raises OSError."""
        if (found := cls.find(root)) is not None:
            return found
        path = root / FILE
        first = (
            not path.exists()
        )  # a damaged file, or that of another folder, says nothing about running processes
        made = _Record(secrets.token_hex(8), str(root), root.stat().st_ino, accepts_unmarked=first)
        write_atomically(path, msgspec.json.encode(made))
        if not first:
            # Leases of the queue are held under this name, which the original still uses.
            with contextlib.suppress(OSError):
                (root / "dispatch" / "holder").unlink(missing_ok=True)
        return cls(root, made.id, made.accepts_unmarked)

    @property
    def mark(self) -> str:
        """Argument that command lines carry."""
        return PREFIX + self.id

    @property
    def python(self) -> tuple[str, str]:
        """The mark as an option of the Python interpreter, which ignores it."""
        return "-X", self.mark

    def owns(self, command_line: Sequence[str]) -> bool:
        """Whether a process with this command line was started for this folder, by this installation of it."""
        root = str(self.root)
        if not any(word == root or word.startswith(root + "/") for word in command_line):
            return False
        marks = {word for word in command_line if word.startswith(PREFIX)}
        return marks == {self.mark} if marks else self.accepts_unmarked and _is_program(command_line)


def own_installation() -> str:
    """The id of the installation that this process was started for; empty if nobody said."""
    given = sys._xoptions.get(PREFIX.rstrip("="), "")
    return given if isinstance(given, str) else ""


def _is_program(command_line: Sequence[str]) -> bool:
    """Whether it is one of tidegate's programs or its proxy, and not, for example, an editor with one of our
    files."""
    modules = (word for option, word in itertools.pairwise(command_line) if option == "-m")
    return any(word.startswith("tidegate.") for word in modules) or (
        Path(command_line[0]).name.startswith("haproxy") and "-C" in command_line
    )
