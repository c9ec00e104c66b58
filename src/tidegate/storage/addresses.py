"""Addresses of data: ``s3://BUCKET/KEY`` and ``file:///PATH``."""

from typing import NamedTuple
from urllib.parse import unquote

from tidegate.domain.errors import ArtifactError


class Address(NamedTuple):
    """``bucket`` is empty for a file. ``path`` is the key, literally as S3 has it, or the absolute path of a
    file, percent-decoded."""

    bucket: str
    path: str

    @property
    def is_file(self) -> bool:
        return not self.bucket


def parse(url: str, *, prefix: bool = False) -> Address:
    """``prefix``: a bucket without a key is allowed. Raises ArtifactError, which does not name the address."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if scheme == "file" and host in ("", "localhost"):
        path = unquote(slash + path)
        if "\0" in path or not path.startswith("/"):
            raise ArtifactError("the path must be absolute, without null characters")
        return Address("", path)
    if scheme == "s3" and host and (path or prefix):
        return Address(host, path)
    raise ArtifactError("it must be at file:// or s3://: expected file:///PATH or s3://bucket/key")
