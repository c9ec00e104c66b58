"""Addresses of data: ``s3://BUCKET/KEY`` and ``file:///PATH``."""

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from tidegate.domain.errors import ArtifactError, Invalid


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


_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]|[^\x00-\xff]")


def check_address(address: str, what: str) -> None:
    """Raises Invalid unless it is an address of S3 or of a file."""
    try:
        parsed = parse(address, prefix=True)
    except ArtifactError:
        parsed = None
    if parsed is None or (parsed.is_file and not address.startswith("file:///")):
        raise Invalid(f"{what} {address!r} is no address: use s3://BUCKET/PREFIX or file:///FOLDER")
    if any(part in (".", "..") for part in parsed.path.split("/")):
        raise Invalid(f"{what} {address!r} has a part . or ..: leave it out")


def check_output(address: str, what: str) -> None:
    """``check_address`` for one that answers tell in a header. Raises Invalid."""
    check_address(address, what)
    if (odd := _UNSENDABLE.search(address)) is not None:
        raise Invalid(
            f"{what} {address!r} has a character that no header can carry ({odd[0]!r}): leave it out, or"
            " percent-encode it in the path of a file"
        )


def check_sink(sink: str, what: str) -> None:
    """Raises Invalid unless notifications can be sent to it."""
    if sink.startswith("arn:") and len(sink.split(":")) == 6 and sink.split(":")[2] == "sns":
        return
    if sink.startswith(("http://", "https://")) and urlsplit(sink).hostname:
        return
    if sink.startswith("file://"):
        return check_address(sink, what)
    raise Invalid(
        f"{what} {sink!r}: expected a topic (arn:aws:sns:...), a webhook (https://...) or a file (file:///...)"
    )
