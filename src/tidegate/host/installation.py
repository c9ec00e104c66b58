"""Which installation a process belongs to: a state folder, where it lies, under an id that no copy of it shares.

Every process that outlives its controller has the id and a path of the state folder in its command line. A later
controller adopts, signals and cleans up after those processes alone. The id is drawn at the first start and kept in
the folder together with the folder's path and inode: a copied or moved folder does not match and gets an id of its
own, and so leaves the processes of the original alone.
"""

import contextlib
import itertools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tidegate.host.atomic_write import write_atomically

FILE = "installation.json"
HEADER = "x-tidegate-installation"
"""Of a health check's answer: by the id, a start knows its own server from another one on the port."""
PREFIX = "tidegate="
"""How the word with the id begins in a command line."""


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
    """Whether a process of tidegate's that names the folder and has no id is ours: an earlier version started it."""

    @classmethod
    def find(cls, root: Path) -> "Installation | None":
        """The installation of this folder; None if there is none, or if the folder is a copy or cannot be read."""
        try:
            known = msgspec.json.decode((root / FILE).read_bytes(), type=_Record)
            here = (str(root), root.stat().st_ino)
        except (OSError, msgspec.DecodeError):
            return None
        return cls(root, known.id, known.accepts_unmarked) if (known.path, known.inode) == here else None

    @classmethod
    def take(cls, root: Path) -> "Installation":
        """The installation of this folder, made if there is none or if the folder is a copy. Raises OSError."""
        if (found := cls.find(root)) is not None:
            return found
        path = root / FILE
        first = not path.exists()  # one that is damaged or of another folder proves nothing about who runs
        made = _Record(secrets.token_hex(8), str(root), root.stat().st_ino, accepts_unmarked=first)
        write_atomically(path, msgspec.json.encode(made))
        if not first:
            # The queue's leases are held under this name, which the original goes on using.
            with contextlib.suppress(OSError):
                (root / "dispatch" / "holder").unlink(missing_ok=True)
        return cls(root, made.id, made.accepts_unmarked)

    @property
    def mark(self) -> str:
        """The word that command lines carry."""
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


def _is_program(command_line: Sequence[str]) -> bool:
    """Whether it is one of tidegate's programs or its proxy, rather than somebody's look at a file of ours."""
    modules = (word for option, word in itertools.pairwise(command_line) if option == "-m")
    return any(word.startswith("tidegate.") for word in modules) or (
        Path(command_line[0]).name.startswith("haproxy") and "-C" in command_line
    )
