"""Translation of errors of the operating system to errors of data: permanent (ArtifactError) or transient
(Transient)."""

import errno

from tidegate.domain.errors import ArtifactError, MissingArtifact, Transient

TRANSIENT = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN),
        *(errno.EBUSY, errno.EINTR, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EHOSTDOWN, errno.ENOTCONN),
    }
)
"""Errors of a file system that end when somebody frees space or repairs the disk."""
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


def translate(what: str, error: OSError) -> ArtifactError | Transient:
    """``what`` begins the message: what could not be done."""
    kind = Transient if error.errno in TRANSIENT else ArtifactError
    return kind(f"{what}: {error.strerror or error}")


def unreadable(error: OSError) -> ArtifactError | Transient:
    """Translate the error of data that could not be opened or read. The message does not name the data."""
    if error.errno in _MISSING:
        return MissingArtifact("there is no such file")
    if isinstance(error, PermissionError):
        return ArtifactError("no permission to read it")
    return translate("it cannot be read", error)


def unwritable(where: object, error: OSError) -> ArtifactError | Transient:
    return translate(f"{where} cannot be written", error)
