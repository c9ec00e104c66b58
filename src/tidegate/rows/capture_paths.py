"""Paths of captured files below their destination: ENDPOINT/VARIANT/yyyy/mm/dd/hh/MM-SS-mmm-UUID.jsonl, in UTC."""

import re
from datetime import UTC, datetime

HOUR = 3600
_NAME = re.compile(r"(\d{4})-(\d\d)-(\d\d)-(\d\d)-(\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl)")
_PATH = re.compile(r"(\d{4})/(\d\d)/(\d\d)/(\d\d)/(\d\d)-(\d\d)-(\d{3})-[^/]*$")
_BELOW = re.compile(r"\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl")


def file_name(began: float, id: str) -> str:
    """A flat name, which ``layout`` turns into the path. ``began``: epoch seconds of the first line; ``id``: UUID."""
    at = datetime.fromtimestamp(began, UTC)
    return f"{at:%Y-%m-%d-%H-%M-%S}-{at.microsecond // 1000:03d}-{id}.jsonl"


def layout(name: str) -> str | None:
    """The path of a flat name below its variant's folder; None for any other name."""
    found = _NAME.fullmatch(name)
    return "/".join(found.groups()) if found else None


def began_at(path: str) -> float | None:
    """Return the epoch seconds of the first line of a captured file, by its path; None for any other."""
    found = _PATH.search(path)
    if found is None:
        return None
    try:
        return datetime.strptime(" ".join(found.groups()) + " +0000", "%Y %m %d %H %M %S %f %z").timestamp()
    except ValueError:
        return None


def is_captured(below: str) -> bool:
    """Whether a path below a variant's folder is that of a captured file, and not of somebody else's."""
    return _BELOW.fullmatch(below) is not None
