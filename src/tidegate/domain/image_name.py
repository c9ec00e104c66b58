"""Names of container images, ``[HOST[:PORT]/]PATH[:TAG][@DIGEST]``, in full, and the patterns that allow them. Pure.

A name without a host is one of Docker's registry, as it is for Docker: ``fraud`` is ``docker.io/library/fraud``, and
``team/fraud`` is ``docker.io/team/fraud``. What is compared with the patterns is the full name, and the full name is
what is run.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from tidegate.domain.errors import Invalid

DOCKER = "docker.io"
LOCAL = "localhost"
"""Host of images that podman built here."""
_FORMER_DOCKER = ("index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?|\[[0-9a-f:]+\](:[0-9]{1,5})?")
_PATH = re.compile(r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageName:
    """An image's full name. A ``digest`` says alone what is run; a ``tag`` beside it says where it came from."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> "ImageName":
        """Parse the name of an image. Raises Invalid."""
        host, path, tag, digest = _split(text)
        wrong = f"{text!r} is not the name of a container image"
        if not _PATH.fullmatch(path):
            why = ": the name of a repository is in lower case" if path != path.lower() else ""
            raise Invalid(wrong + why)
        if not _HOST.fullmatch(host) or ("@" in text and not _DIGEST.fullmatch(digest)):
            raise Invalid(wrong)
        if text.partition("@")[0].endswith(":") or (tag and not _TAG.fullmatch(tag)):
            raise Invalid(wrong)
        return cls(host, path, tag, digest)

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.path}"

    @property
    def exact(self) -> str:
        """The name by which it is run: with the digest alone if it has one, else with its tag."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag or 'latest'}"

    def __str__(self) -> str:
        """The full name."""
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def pin(name: str, digest: str) -> str:
    """Add the digest that a tag stands for to a name as it was given."""
    return f"{name}@{digest}"


def unpin(name: str) -> str:
    """The name without its digest, if it has a tag besides: the tag was what was asked for."""
    head, at, _ = name.partition("@")
    return head if at and ":" in head.rpartition("/")[2] else name


def is_allowed(image: ImageName, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches the image. ``*`` and ``?`` are any characters, but in the host no slash. A pattern
    without a tag or a digest matches all of them; a tag or digest in a pattern has to be the image's."""
    return any(_matches(image, pattern) for pattern in patterns)


def is_allowed_by_digest(image: ImageName, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches the image whatever its tag: the tag of a name that has a digest is only a claim."""
    return is_allowed(replace(image, tag=""), patterns)


def _matches(image: ImageName, pattern: str) -> bool:
    if pattern == "*":
        return True
    host, path, tag, digest = _split(pattern)
    named = image.tag or ("" if image.digest else "latest")
    return (
        fnmatchcase(image.host, host)
        and fnmatchcase(image.path, path)
        and (not tag or fnmatchcase(named, tag))
        and (not digest or fnmatchcase(image.digest, digest))
    )


def _split(text: str) -> tuple[str, str, str, str]:
    """Host, path, tag and digest of a name or a pattern. Hosts know no upper case."""
    name, _, digest = text.partition("@")
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and (first.lower() == LOCAL or any(sign in first for sign in ".:*?"))
    host, path = (first.lower(), rest) if is_host else (DOCKER, name)
    path, _, tag = path.partition(":")
    host = DOCKER if host in _FORMER_DOCKER else host
    if host == DOCKER and "/" not in path and path != "*":
        path = f"library/{path}"
    return host, path, tag, digest
