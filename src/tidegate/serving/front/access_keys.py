"""The access keys that requests may be signed with, read from a file that the controller rewrites."""

import os
import stat
from pathlib import Path

import msgspec

from tidegate.domain.errors import StartupError


class KeysFile:
    """JSON of access key id -> secret. Checked for every request, and read again if the file or its modification
    time has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, str] = {}

    def read(self) -> dict[str, str]:
        """Raises StartupError if the file is unusable: then every request is rejected."""
        try:
            status = os.stat(self._path)
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                if not is_private(status.st_mode, status.st_uid, os.geteuid()):
                    raise StartupError(
                        f"the keys file {self._path} must be readable by its owner only (chmod 600)"
                    )
                self._keys = msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
                self._seen = seen
        except OSError as error:
            raise StartupError(f"cannot read the keys file {self._path}: {error.strerror}") from None
        except msgspec.DecodeError as error:
            raise StartupError(f"the keys file {self._path} is not usable: {error}") from None
        return self._keys


def is_private(mode: int, owner: int, user: int) -> bool:
    """Whether a file can be read by nobody but ``user``. A Secret that Kubernetes mounts belongs to root, so that a
    worker of another user can only be a reader by its group."""
    others = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
    if user == 0 or owner != 0:
        others |= stat.S_IRGRP
    return not mode & others
