"""The state folder: made, checked and locked before anything else, so that two tidegates never share one."""

import contextlib
import fcntl
import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from tidegate.domain.errors import StartupError
from tidegate.host.installation import Installation
from tidegate.host.unix_sockets import can_hold_sockets, has_no_listener, make_private


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
        """Leaves nothing outside of the state folder that nobody uses."""
        (self.path / "tidegate.pid").unlink(missing_ok=True)
        for folder in {self._sockets, *self.former_sockets}:
            for left in folder.glob("*.sock"):
                with contextlib.suppress(OSError):
                    if left.is_symlink() or (folder in self.former_sockets and has_no_listener(left)):
                        left.unlink()
            with contextlib.suppress(OSError):  # somebody's sockets are in it
                folder.rmdir()
        os.close(self._lock)

    @property
    def sockets(self) -> Path:
        """A short folder for unix sockets (their paths are limited to 107 bytes), private to this user and always
        the same for one state folder, so that a restarted controller finds its workers. It is made if it is gone.
        Raises StartupError."""
        folder = self._sockets
        try:
            make_private(folder)
        except OSError:
            raise StartupError(
                f"{folder} belongs to somebody else; remove it or set TMPDIR to your own folder"
            ) from None
        return folder

    @property
    def former_sockets(self) -> tuple[Path, ...]:
        """Where an earlier version, or one with other variables, put sockets: replicas may still listen there."""
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
