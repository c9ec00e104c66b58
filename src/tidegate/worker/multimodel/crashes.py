"""Which native models were in hand when a worker died: written where it outlives the process.

A page of slots is mapped from a file; to enter and leave a model costs a memory write, no system call. The file is
locked while its worker lives. A worker that starts looks for files without an owner: what stands in their slots is
suspect. Suspects are loaded on trial only, in a child, never at the start; after two deaths not at all until the
artifact changes. Forests are not entered: no native code reads them.
"""

import fcntl
import mmap
import os
from contextlib import suppress
from pathlib import Path

import msgspec

SLOTS = 128
"""Models in hand at one time; more are not written down."""
_WIDTH = 32
"""Bytes of a key."""
DEATHS = 2


class Crashes:
    """Of the replica ``name``; ``folder`` is shared by those of its fleet."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._list = folder / "suspects.json"
        self.suspects: dict[str, int] = self._read()
        """Key -> deaths."""
        self._folder = folder
        self.look()
        self._path = folder / f"{name}.hand"
        self._file = self._path.open("w+b")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._file.truncate(SLOTS * _WIDTH)
        self._map = mmap.mmap(self._file.fileno(), SLOTS * _WIDTH)
        self._free = list(range(SLOTS))

    def enter(self, key: str) -> int:
        """A slot to leave again; -1 where none is free."""
        if not self._free:
            return -1
        slot = self._free.pop()
        self._map[slot * _WIDTH : (slot + 1) * _WIDTH] = key.encode().ljust(_WIDTH)[:_WIDTH]
        return slot

    def leave(self, slot: int) -> None:
        if slot >= 0:
            self._map[slot * _WIDTH : (slot + 1) * _WIDTH] = bytes(_WIDTH)
            self._free.append(slot)

    def clear(self, key: str) -> None:
        """Its artifact is another now."""
        if self.suspects.pop(key, None) is not None:
            self._write()

    def close(self) -> None:
        self._map.close()
        self._path.unlink(missing_ok=True)
        self._file.close()

    def look(self) -> None:
        """Takes down what workers had in hand that died since."""
        self.suspects = self._read()
        dead = 0
        for path in self._folder.glob("*.hand"):
            with suppress(OSError), path.open("r+b") as left:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = left.read(SLOTS * _WIDTH)
                keys = {held[at : at + _WIDTH] for at in range(0, len(held), _WIDTH)}
                path.unlink()
                dead += 1
                for key in (key.decode("ascii", "replace") for key in keys if key.strip(b"\0 ")):
                    self.suspects[key] = self.suspects.get(key, 0) + 1
        if dead:
            self._write()

    def _read(self) -> dict[str, int]:
        try:
            return msgspec.json.decode(self._list.read_bytes(), type=dict[str, int])
        except (OSError, msgspec.DecodeError):
            return {}

    def _write(self) -> None:
        new = self._list.with_name(f"suspects.{os.getpid()}.new")
        new.write_bytes(msgspec.json.encode(self.suspects))
        new.replace(self._list)
