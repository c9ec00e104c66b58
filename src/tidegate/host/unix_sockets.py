"""Unix sockets and the private folder that they lie in: found to be gone, and made anew.

A socket lives on when its path is removed, as by a program that cleans temporary folders, but nobody reaches it any
more. It cannot be given a path again: whoever listens has to bind another.
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

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between looks whether a socket's path is still there."""
MAX_FOLDER_LENGTH = 66
"""Characters of a folder's path, so that the sockets of replicas in it are at most 100 long. The system takes 107."""
_PLAIN = re.compile(r"[A-Za-z0-9._/+~-]+", re.ASCII)
"""What has no meaning in the files and commands of the proxy."""


def make_private(folder: Path) -> None:
    """A folder that only this user may enter. Raises OSError, also for one that belongs to somebody else."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{folder} belongs to somebody else")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)


def can_hold_sockets(folder: Path) -> bool:
    """Whether sockets can be made in a folder, which is made for it: not every file system has them."""
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
    """Whether nobody listens on a socket, or there is none. A listener whose queue is full is somebody."""
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
    """Which socket a path leads to; None: to nothing that could be one."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino if stat.S_ISSOCK(found.st_mode) else None


@dataclass
class WatchedSockets:
    """Sockets that somebody listens on, as they were when they were remembered."""

    _inodes: dict[Path, int | None] = field(default_factory=dict)

    def remember(self, *paths: Path) -> None:
        """These and no others."""
        self._inodes = {path: socket_inode(path) for path in paths}

    def lost(self) -> list[Path]:
        """Those whose path is gone, or leads to what nobody listens on. Who listens may have made it anew."""
        gone = []
        for path, known in self._inodes.items():
            now = socket_inode(path)
            if now is None or (now != known and has_no_listener(path)):
                gone.append(path)
            else:
                self._inodes[path] = now
        return gone


def _check_folder(folder: Path) -> None:
    """Makes a folder that is gone. Raises PermissionError for one in which others could put a socket of theirs."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise PermissionError(f"others may write into {folder}")


async def keep_bound(path: Path, listen: Callable[[], Awaitable[None]]) -> None:
    """Watches over a socket that was just bound, for ever: ``listen`` binds it anew when its path is gone, with the
    folder, or leads to another. What fails is tried again."""
    known, trouble = socket_inode(path), ""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        if known is not None and socket_inode(path) == known:
            continue
        try:
            _check_folder(path.parent)
            path.unlink(missing_ok=True)
            await listen()
        except Exception as error:
            if trouble != (trouble := f"{type(error).__name__}: {error}"):
                log.warning("the socket %s is gone and cannot be made anew yet: %s", path, error)
        else:
            known, trouble = socket_inode(path), ""
            log.warning("the socket %s was gone; it is there again", path)
