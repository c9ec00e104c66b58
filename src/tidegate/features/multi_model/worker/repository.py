"""The repository of a container's models: a folder or an S3 prefix. Finds a model and its version."""

import os
from pathlib import Path
from urllib.parse import quote, unquote

from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.artifacts.fetch import Policy
from tidegate.storage.s3 import S3


class ModelRepository:
    """The models at ``data_url``. ``policy``: what workers may read. Methods block, and are thread-safe."""

    def __init__(self, data_url: str | None, policy: Policy) -> None:
        """Raises Invalid."""
        scheme, _, rest = (data_url or "").partition("://")
        if scheme not in ("file", "s3"):
            raise Invalid("a multi-model container needs ModelDataUrl, the folder or S3 prefix of its models")
        self._prefix = f"{scheme}://{rest.rstrip('/')}/"
        self._policy = policy
        self._folder = Path("/" + unquote(rest.partition("/")[2])) if scheme == "file" else None
        bucket, _, self._keys = self._prefix.removeprefix("s3://").partition("/")
        self._bucket = S3(policy.s3_endpoint, policy.region).bucket(bucket) if scheme == "s3" else None

    def url(self, name: str) -> str:
        return self._prefix + (quote(name) if self._folder is not None else name)

    def policy(self) -> Policy:
        """The policy for reading a model: links may not lead out of the prefix."""
        if self._folder is None:
            return self._policy
        return Policy((str(self._real()),), self._policy.s3_endpoint, self._policy.region, self._policy.limits)

    def mark(self, name: str, known: str = "") -> str:
        """The version of an artifact. Raises ArtifactError if there is none, and Transient. ``known``: its last mark;
        a file that still has it is the same file, so its path is not resolved again, which takes twenty times as
        long and holds the interpreter's lock that requests need."""
        if self._bucket is not None:
            return self._bucket.head(self._keys + name).etag
        assert self._folder is not None
        if known and _mark_at(f"{self._folder}/{name}") == known:
            return known
        try:
            real = (self._folder / name).resolve(strict=True)
            state = real.stat()
        except (OSError, RuntimeError):
            raise ArtifactError("there is no such file") from None
        if not real.is_relative_to(self._real()) or not real.is_file():
            raise ArtifactError("there is no such file")
        return _mark_of(state)

    def _real(self) -> Path:
        assert self._folder is not None
        try:
            folder = self._folder.resolve(strict=True)
        except (OSError, RuntimeError):
            raise ArtifactError("there is no such folder") from None
        roots = self._policy.roots
        if roots is not None and not any(folder.is_relative_to(Path(root).resolve()) for root in roots):
            raise ArtifactError("the folder lies outside those that models may lie in (TIDEGATE_FILE_ROOTS)")
        return folder


def _mark_of(state: os.stat_result) -> str:
    return f"{state.st_mtime_ns}-{state.st_size}-{state.st_ino}"


def _mark_at(path: str) -> str:
    try:
        return _mark_of(os.stat(path))
    except OSError:
        return ""
