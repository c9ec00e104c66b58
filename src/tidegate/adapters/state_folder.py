"""The state folder: made, checked and locked before anything else, so that two tidegates never share one."""

import contextlib
import fcntl
import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tidegate.installation import Installation
from tidegate.model.errors import StartupError


@dataclass
class StateFolder:
    """Holds the lock for as long as it lives; the kernel lets go of it when the process ends, however it ends."""

    path: Path
    _lock: int
    installation: Installation

    @classmethod
    def take(cls, path: Path) -> "StateFolder":
        """Raises StartupError naming the folder and what to do about it."""
        path = path.expanduser().absolute()
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = path.resolve()  # one folder has one name, however it is reached: others derive theirs from it
            lock = os.open(path / "tidegate.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartupError(
                f"state folder {path} cannot be used: {error.strerror}; choose another with --state"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = "unknown"
            with contextlib.suppress(OSError):  # it may be about to end, or to begin
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
        """Leaves nothing in the system's temporary folder that nobody uses."""
        (self.path / "tidegate.pid").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody's sockets are in it
            self._sockets.rmdir()
        os.close(self._lock)

    @property
    def sockets(self) -> Path:
        """A short folder for unix sockets (their paths are limited to 107 bytes), private to this user and always
        the same for one state folder, so that a restarted controller finds its workers."""
        folder = self._sockets
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat()
        if owner.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
            raise StartupError(f"{folder} belongs to somebody else; remove it or set TMPDIR to your own folder")
        folder.chmod(0o700)
        return folder

    @property
    def _sockets(self) -> Path:
        digest = sha256(str(self.path).encode()).hexdigest()[:10]
        return Path(tempfile.gettempdir()) / f"tidegate-{os.getuid()}-{digest}"

    def _write_pid(self) -> None:
        try:
            (self.path / "tidegate.pid").write_text(f"{os.getpid()}\n")
        except OSError as error:
            raise StartupError(f"state folder {self.path} cannot be written: {error.strerror}") from None
