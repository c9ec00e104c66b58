"""The state folder: created, checked and locked before anything else, so that two controllers never share one."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from tidegate.domain.errors import StartupError
from tidegate.host.installation import Installation
from tidegate.host.unix_sockets import can_hold_sockets, has_no_listener, make_private


@dataclass
class StateFolder:
    """Holds the lock while it lives. The kernel releases the lock when the process ends, however it ends."""

    path: Path
    _lock: int
    installation: Installation

    @classmethod
    def take(cls, path: Path) -> "StateFolder":
        """Create and lock the folder. Raises StartupError."""
        path = path.expanduser().absolute()
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = path.resolve()  # one canonical name, however the folder was given: other names derive from it
            lock = os.open(path / "tidegate.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartupError(
                f"state folder {path} cannot be used: {error.strerror}; choose another with --state"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = "unknown"
            with contextlib.suppress(OSError):  # the other controller may be starting or ending
                owner = (path / "tidegate.pid").read_text().strip() or owner
            os.close(lock)
            raise StartupError(
                f"state folder {path} is in use by another tidegate (pid {owner}); stop it with 'tidegate down' "
                "or choose another folder with --state"
            ) from None
        try:
            folder = cls(path, lock, Installation.take(path))
        except OSError as error:
            os.close(lock)
            raise StartupError(f"state folder {path} cannot be written: {error.strerror}") from None
        folder._write_pid()
        return folder

    def release(self) -> None:
        """Release the lock, and remove unused files outside the state folder."""
        (self.path / "tidegate.pid").unlink(missing_ok=True)
        for folder in {self._sockets, *self.former_sockets}:
            for left in folder.glob("*.sock"):
                with contextlib.suppress(OSError):
                    if left.is_symlink() or (folder in self.former_sockets and has_no_listener(left)):
                        left.unlink()
            with contextlib.suppress(OSError):  # not empty: it has sockets in use
                folder.rmdir()
        os.close(self._lock)

    @property
    def sockets(self) -> Path:
        """Folder for unix sockets with a short path (limit: 107 bytes), private to this user, and always the same for
        one state folder, so that a restarted controller finds its workers. Created if missing. Raises
        StartupError."""
        folder = self._sockets
        try:
            make_private(folder)
        except OSError:
            raise StartupError(
                f"{folder} belongs to another user; remove it or set TMPDIR to a folder of your own"
            ) from None
        return folder

    @property
    def former_sockets(self) -> tuple[Path, ...]:
        """Folders where an earlier version, or one with other variables, put sockets: replicas may still listen
        there."""
        return tuple(folder for folder in self._candidates() if folder != self._sockets and folder.is_dir())

    @cached_property
    def _sockets(self) -> Path:
        *better, last = self._candidates()
        return next((folder for folder in better if can_hold_sockets(folder)), last)

    def _candidates(self) -> list[Path]:
        digest = sha256(str(self.path).encode()).hexdigest()[:10]
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        below = [Path(runtime) / f"tidegate-{digest}"] if Path(runtime).is_absolute() else []
        return [self.path / "run", *below, Path(tempfile.gettempdir()) / f"tidegate-{os.getuid()}-{digest}"]

    def _write_pid(self) -> None:
        try:
            (self.path / "tidegate.pid").write_text(f"{os.getpid()}\n")
        except OSError as error:
            raise StartupError(f"state folder {self.path} cannot be written: {error.strerror}") from None


@contextmanager
def hold_lock(folder: Path) -> Iterator[bool]:
    """Yields whether no other process runs this job; holds the lock meanwhile."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
