"""Detect and restore unix sockets whose path was removed, and the private folder of sockets.

A program that cleans temporary folders may remove a socket's path. The socket still exists but is unreachable, and it
cannot get a path again: the listener has to bind a new one.
"""

import asyncio
import contextlib
import logging
import os
import re
import socket
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.host.aligned_pauses import align

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between checks of a socket's path."""
MAX_FOLDER_LENGTH = 63
"""Maximum length of a folder's path, so that paths of replicas' sockets have at most 97 characters: HAProxy's limit.
The system's is 107."""
_PLAIN = re.compile(r"[A-Za-z0-9._/+~-]+", re.ASCII)
"""Characters without a special meaning in HAProxy's configuration and commands."""


def make_private(folder: Path) -> None:
    """Create a folder that only this user can access. Raises OSError, also if it belongs to another user."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{folder} belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)


def can_hold_sockets(folder: Path) -> bool:
    """Whether sockets can be created in a folder: not every file system supports them. Creates the folder."""
    if len(str(folder)) > MAX_FOLDER_LENGTH or not _PLAIN.fullmatch(str(folder)):
        return False
    probe = folder / f"probe-{os.getpid()}"
    try:
        make_private(folder)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(probe))
            made.listen()
            return not has_no_listener(probe)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def has_no_listener(path: Path) -> bool:
    """Whether no process listens on a socket, or it does not exist. A listener with a full queue counts."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return False
        except OSError:
            return True
    return False


def socket_inode(path: Path) -> int | None:
    """Inode of the socket at a path; None: there is no socket."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino if stat.S_ISSOCK(found.st_mode) else None


@dataclass
class WatchedSockets:
    """Sockets with their inodes, to detect those that are lost."""

    _inodes: dict[Path, int | None] = field(default_factory=dict)

    def remember(self, *paths: Path) -> None:
        """Watch these sockets and no others."""
        self._inodes = {path: socket_inode(path) for path in paths}

    def lost(self) -> list[Path]:
        """Sockets whose path is gone, or has no listener. A socket that its listener has bound again is not lost."""
        gone = []
        for path, known in self._inodes.items():
            now = socket_inode(path)
            if now is None or (now != known and has_no_listener(path)):
                gone.append(path)
            else:
                self._inodes[path] = now
        return gone


def _check_folder(folder: Path) -> None:
    """Create a missing folder. Raises PermissionError for one in which other users could create sockets."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise PermissionError(f"other users can write to {folder}")


async def _pause() -> None:
    await asyncio.sleep(align(LOOK_EVERY))


async def keep_bound(
    path: Path, listen: Callable[[], Awaitable[None]], pause: Callable[[], Awaitable[None]] = _pause
) -> None:
    """Watch a bound socket until cancelled. If its path, or the folder, is removed or replaced, ``listen`` binds it
    again. Failures are retried. ``pause`` waits until the next look."""
    known, trouble = socket_inode(path), ""
    while True:
        await pause()
        if known is not None and socket_inode(path) == known:
            continue
        try:
            _check_folder(path.parent)
            path.unlink(missing_ok=True)
            await listen()
        except Exception as error:
            if trouble != (trouble := f"{type(error).__name__}: {error}"):
                log.warning("the socket %s is gone and cannot be created again yet: %s", path, error)
        else:
            known, trouble = socket_inode(path), ""
            log.warning("the socket %s was gone and has been created again", path)
