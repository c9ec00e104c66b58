"""The access keys that requests may be signed with, read from a file that the controller rewrites, and the check of a
request by them."""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tidegate.auth.keys import BEARER, check_bearer
from tidegate.auth.sigv4 import RequestParts, verify
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import StartupError
from tidegate.serving.front.connection import Request

SERVICES = frozenset({"sagemaker", "sagemaker-runtime"})
"""Service names in the signatures of SageMaker Runtime clients."""


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
                self._keys = msgspec.json.decode(self._path.read_bytes(), type=prepare_type(dict[str, str]))
                self._seen = seen
        except OSError as error:
            raise StartupError(f"cannot read the keys file {self._path}: {error.strerror}") from None
        except msgspec.DecodeError as error:
            raise StartupError(f"the keys file {self._path} is not usable: {error}") from None
        return self._keys


def check_access(keys: KeysFile, request: Request, path: bytes, query: bytes, bearer: bool, skew: int) -> None:
    """``bearer``: the key itself will do, as clients that cannot sign send it. Raises AuthError, and StartupError."""
    if bearer:
        shown = dict(request.headers).get(b"authorization", b"").decode("latin-1")
        if shown.startswith(BEARER):
            check_bearer(shown, keys.read())
            return
    parts = RequestParts(
        method=request.method.decode("latin-1"),
        path=path.decode("latin-1"),
        query=query.decode("latin-1"),
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers],
        body=request.body if request.spool is None else request.spool.view(),
    )
    verify(parts, keys.read(), now=datetime.now(UTC), skew=skew, services=SERVICES)


def is_private(mode: int, owner: int, user: int) -> bool:
    """Whether a file can be read by nobody but ``user``. A Secret that Kubernetes mounts belongs to root, so that a
    worker of another user can only be a reader by its group."""
    others = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
    if user == 0 or owner != 0:
        others |= stat.S_IRGRP
    return not mode & others
