"""Records which requests for native models were in progress when a worker crashed, in a file that outlives it.

A page of slots is mapped from a file; entering and leaving a request is a memory write without a system call. The
worker holds a lock on its file. Workers look for files without a lock: the entries in their slots are suspect. The
lock is a POSIX lock: the kernel releases it before it closes the connections of a process that ends, so a client that
was disconnected finds it free, while a flock would last a moment longer, and be shared by every child.
Suspect models are first loaded in a child, and never at the start; after two crashes not at all until the artifact
changes. Suspect requests, which the proxy or the client may retry, are tried in a child first, so that a request
cannot crash a second worker. Forests are not recorded: no native code reads them.
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

from tidegate.domain.decoding import prepare_type

SLOTS = 128
"""Requests in progress at a time; more are not recorded."""
_KEY, _BODY = 32, 16
"""Bytes of a model's key, and of the hash of a request's body."""
_WIDTH = _KEY + _BODY
DEATHS = 2
REMEMBERED = 256
"""Most suspect requests that are kept; the last ones."""
_GRAIN = 50_000_000
"""Nanoseconds: the resolution of file times."""
_LOOKED_AT = 1 << 16
"""Bytes at each end of a body that are hashed."""


def stand_in(body: bytes) -> str:
    """A hash of a body."""
    ends = (body[:_LOOKED_AT], body[-_LOOKED_AT:]) if len(body) > _LOOKED_AT else (body, b"")
    return f"{len(body) & 0xFFFFFFFF:08x}{zlib.crc32(ends[1], zlib.crc32(ends[0])):08x}"


class _Journal(msgspec.Struct):
    models: dict[str, int] = {}
    """Key -> number of crashes."""
    requests: list[str] = []
    """Keys with the hashes of bodies."""


class Crashes:
    """The records of the replica ``name``; its fleet shares ``folder``. One object per process: POSIX locks belong to
    the process and do not exclude each other within it."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._list = folder / "suspects.json"
        self._others: list[IO[bytes]] = []
        """The files of other workers, open to test their locks."""
        self._seen = 0
        """Modification time of the folder at the last check."""
        self._journal = _Journal()
        self._condemned: set[str] = set()
        self._path = folder / f"{name}.hand"
        new = folder / f"{name}.new"
        self._file = new.open("w+b")
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        self._file.truncate(SLOTS * _WIDTH)
        new.rename(self._path)  # the file has this name only while it is locked
        self._map = mmap.mmap(self._file.fileno(), SLOTS * _WIDTH)
        self._free = list(range(SLOTS))
        self.look()

    @property
    def suspects(self) -> dict[str, int]:
        """Suspect models: key -> number of crashes."""
        return self._journal.models

    def enter(self, key: str, body: bytes = b"") -> int:
        """Record a request. Returns its slot for ``leave``; -1 if none is free."""
        if not self._free:
            return -1
        slot = self._free.pop()
        record = key.encode().ljust(_KEY)[:_KEY] + stand_in(body).encode()
        self._map[slot * _WIDTH : (slot + 1) * _WIDTH] = record
        return slot

    def leave(self, slot: int) -> None:
        if slot >= 0:
            self._map[slot * _WIDTH : (slot + 1) * _WIDTH] = bytes(_WIDTH)
            self._free.append(slot)

    def suspicious(self, key: str, body: bytes) -> bool:
        """Whether an equal request was in progress when a worker crashed, up to now."""
        self.look()
        return bool(self._journal.requests) and key.ljust(_KEY) + stand_in(body) in self._journal.requests

    def acquit(self, key: str, body: bytes) -> None:
        """Clear a request that was tried without a crash."""
        with suppress(ValueError):
            self._journal.requests.remove(key.ljust(_KEY) + stand_in(body))
            self._write()

    def condemn(self, key: str, body: bytes) -> None:
        """Mark a request that crashed the child that tried it."""
        self._condemned.add(key.ljust(_KEY) + stand_in(body))

    def is_condemned(self, key: str, body: bytes) -> bool:
        return key.ljust(_KEY) + stand_in(body) in self._condemned

    def clear(self, key: str) -> None:
        """Forget a model, because its artifact has changed."""
        self._condemned = {each for each in self._condemned if each[:_KEY].rstrip() != key}
        kept = [each for each in self._journal.requests if each[:_KEY].rstrip() != key]
        if self.suspects.pop(key, None) is not None or kept != self._journal.requests:
            self._journal.requests = kept
            self._write()

    def close(self) -> None:
        for file in self._others:
            file.close()
        self._path.unlink(missing_ok=True)  # closing the map, which has its own descriptor, releases the lock
        self._map.close()
        self._file.close()

    def look(self) -> None:
        """Read the slots of workers that crashed since the last check. One or two system calls if there are none."""
        changed = self._folder.stat().st_mtime_ns
        if changed == self._seen and not any(map(_lock, self._others)):
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
        # Two changes within the resolution of file times look like one.
        self._seen = changed if time.time_ns() - changed > _GRAIN else 0

    def _judge(self, path: Path) -> bool:
        """Whether the worker of a file has ended."""
        file = path.open("r+b")
        if not _lock(file):
            self._others.append(file)
            return False
        with file:
            held = file.read(SLOTS * _WIDTH)
            path.unlink()
        entries = {held[at : at + _WIDTH] for at in range(0, len(held), _WIDTH)}
        records = [record.decode("ascii", "replace") for record in entries if record.strip(b"\0 ")]
        for key in {record[:_KEY].rstrip() for record in records}:
            self.suspects[key] = self.suspects.get(key, 0) + 1
        self._journal.requests = [*self._journal.requests, *sorted(records)][-REMEMBERED:]
        return True

    def _read(self) -> _Journal:
        try:
            return msgspec.json.decode(self._list.read_bytes(), type=prepare_type(_Journal))
        except (OSError, msgspec.DecodeError):
            return _Journal()

    def _write(self) -> None:
        new = self._list.with_name(f"suspects.{os.getpid()}.new")
        new.write_bytes(msgspec.json.encode(self._journal))
        new.replace(self._list)


def _lock(file: IO[bytes]) -> bool:
    """Lock a worker's file; False while that worker lives."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
