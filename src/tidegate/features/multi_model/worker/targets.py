"""TargetModel: the name of a request's model, a path below the container's model data. Pure."""

import hashlib

HEADER = b"x-amzn-sagemaker-target-model"
LONGEST = 1024
"""Characters."""


class BadTarget(ValueError):
    """An invalid TargetModel; the message says why."""


def target_of(header: bytes | None) -> str:
    """The normalised name in a request's header. Raises BadTarget."""
    if not header:
        raise BadTarget("TargetModel is required by a multi-model endpoint: the model's path below ModelDataUrl.")
    try:
        name = header.decode()
    except UnicodeDecodeError:
        raise BadTarget("TargetModel is not UTF-8.") from None
    if len(name) > LONGEST:
        raise BadTarget(f"TargetModel has more than {LONGEST} characters.")
    parts = name.removeprefix("/").split("/")
    if not name.isprintable() or "\\" in name or any(part in ("", ".", "..") or len(part) > 255 for part in parts):
        raise BadTarget(f"TargetModel {name[:100]!r} is not the path of a file below ModelDataUrl.")
    return "/".join(parts)


def key_of(name: str) -> str:
    """File name for a model: of fixed length, in ASCII letters and digits."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]
