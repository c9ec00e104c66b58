"""Which requests for native models were in hand when a worker died: written where it outlives the process.

A page of slots is mapped from a file; to enter and leave a request costs a memory write, no system call. The file is
locked while its worker lives. A worker looks for files without an owner: what stands in their slots is suspect. The
lock is one of POSIX: the kernel takes it from a process that ends before it closes that one's connections, so whoever
was hung up on finds it free, while a flock would be kept for a moment longer, and by every child that inherits it.
Suspect models are loaded on trial only, in a child, never at the start; after two deaths not at all until the
artifact changes. Suspect requests, which the proxy or the client may send again, are tried in a child first, so that
one does not end a second worker. Forests are not entered: no native code reads them.
"""

import fcntl
import mmap
import os
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

SLOTS = 128
"""Requests in hand at one time; more are not written down."""
_KEY, _BODY = 32, 16
"""Bytes of a model's key, and of what stands for a request's body."""
_WIDTH = _KEY + _BODY
DEATHS = 2
REMEMBERED = 256
"""Suspect requests, the last ones."""
_GRAIN = 50_000_000
"""Nanoseconds."""
_LOOKED_AT = 1 << 16
"""Bytes of each end of a body that tell it from others."""


def stand_in(body: bytes) -> str:
    """Equal for equal bodies."""
    ends = (body[:_LOOKED_AT], body[-_LOOKED_AT:]) if len(body) > _LOOKED_AT else (body, b"")
    return f"{len(body) & 0xFFFFFFFF:08x}{zlib.crc32(ends[1], zlib.crc32(ends[0])):08x}"


class _Journal(msgspec.Struct):
    models: dict[str, int] = {}
    """Key -> deaths."""
    requests: list[str] = []
    """Keys with their bodies' stand-ins."""


class Crashes:
    """Of the replica ``name``; ``folder`` is shared by those of its fleet. One in a process: its locks are the
    process's, and do not keep it from itself."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._list = folder / "suspects.json"
        self._others: list[IO[bytes]] = []
        """The files of other workers, open to see whether they live."""
        self._seen = 0
        """When the folder had changed last, at the last look."""
        self._journal = _Journal()
        self._condemned: set[str] = set()
        self._path = folder / f"{name}.hand"
        new = folder / f"{name}.new"
        self._file = new.open("w+b")
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        self._file.truncate(SLOTS * _WIDTH)
        new.rename(self._path)  # under this name it is never without an owner while its worker lives
        self._map = mmap.mmap(self._file.fileno(), SLOTS * _WIDTH)
        self._free = list(range(SLOTS))
        self.look()

    @property
    def suspects(self) -> dict[str, int]:
        """Key -> deaths."""
        return self._journal.models

    def enter(self, key: str, body: bytes = b"") -> int:
        """A slot to leave again; -1 where none is free."""
        if not self._free:
            return -1
        slot = self._free.pop()
        entry = key.encode().ljust(_KEY)[:_KEY] + stand_in(body).encode()
        self._map[slot * _WIDTH : (slot + 1) * _WIDTH] = entry
        return slot

    def leave(self, slot: int) -> None:
        if slot >= 0:
            self._map[slot * _WIDTH : (slot + 1) * _WIDTH] = bytes(_WIDTH)
            self._free.append(slot)

    def suspicious(self, key: str, body: bytes) -> bool:
        """Whether a request like this was in hand when a worker died, a moment ago included."""
        self.look()
        return bool(self._journal.requests) and key.ljust(_KEY) + stand_in(body) in self._journal.requests

    def acquit(self, key: str, body: bytes) -> None:
        """A request like this was tried, and ended nothing."""
        with suppress(ValueError):
            self._journal.requests.remove(key.ljust(_KEY) + stand_in(body))
            self._write()

    def condemn(self, key: str, body: bytes) -> None:
        """A request like this was tried, and ended the child that tried it."""
        self._condemned.add(key.ljust(_KEY) + stand_in(body))

    def condemned(self, key: str, body: bytes) -> bool:
        return key.ljust(_KEY) + stand_in(body) in self._condemned

    def clear(self, key: str) -> None:
        """Its artifact is another now."""
        self._condemned = {each for each in self._condemned if each[:_KEY].rstrip() != key}
        kept = [each for each in self._journal.requests if each[:_KEY].rstrip() != key]
        if self.suspects.pop(key, None) is not None or kept != self._journal.requests:
            self._journal.requests = kept
            self._write()

    def close(self) -> None:
        for file in self._others:
            file.close()
        self._path.unlink(missing_ok=True)  # closing the map, which has a descriptor of its own, ends the lock
        self._map.close()
        self._file.close()

    def look(self) -> None:
        """Takes down what workers had in hand that died since. A system call or two where none did."""
        changed = self._folder.stat().st_mtime_ns
        if changed == self._seen and not any(map(_owned, self._others)):
            return
        self._journal = self._read()
        dead = False
        for file in self._others:
            file.close()
        self._others = []
        for path in self._folder.glob("*.hand"):
            if path != self._path:
                with suppress(OSError):
                    dead |= self._judge(path)
        if dead:
            self._write()
        # A change within the clock's grain of another would not be seen.
        self._seen = changed if time.time_ns() - changed > _GRAIN else 0

    def _judge(self, path: Path) -> bool:
        """Whether its worker is dead."""
        file = path.open("r+b")
        if not _owned(file):
            self._others.append(file)
            return False
        with file:
            held = file.read(SLOTS * _WIDTH)
            path.unlink()
        entries = {held[at : at + _WIDTH] for at in range(0, len(held), _WIDTH)}
        told = [entry.decode("ascii", "replace") for entry in entries if entry.strip(b"\0 ")]
        for key in {entry[:_KEY].rstrip() for entry in told}:
            self.suspects[key] = self.suspects.get(key, 0) + 1
        self._journal.requests = [*self._journal.requests, *sorted(told)][-REMEMBERED:]
        return True

    def _read(self) -> _Journal:
        try:
            return msgspec.json.decode(self._list.read_bytes(), type=_Journal)
        except (OSError, msgspec.DecodeError):
            return _Journal()

    def _write(self) -> None:
        new = self._list.with_name(f"suspects.{os.getpid()}.new")
        new.write_bytes(msgspec.json.encode(self._journal))
        new.replace(self._list)


def _owned(file: IO[bytes]) -> bool:
    """Takes the lock of a worker's file, which is free only where that worker is dead."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
