"""Some of the captured requests and answers, as a person may see them.

Whatever the files have, nothing is shown that the detectors of redaction find, or that looks like a secret: files of
an earlier config may have been written by other rules. Reading blocks."""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.domain.capture import Redaction
from tidegate.features.capture.records import BASE64, CSV, JSON, Body
from tidegate.features.capture.redaction import Redactor
from tidegate.rows.capture_paths import is_captured
from tidegate.rows.captures import hours_of
from tidegate.rows.sources import list_files

MOST_SAMPLES = 50
HOURS = 24
"""How far back files are looked for."""
MOST_LINES = 2_000
"""Lines of a file that are read: enough for a sample, however large it is."""
MOST_BYTES = 64 * 1024
"""Of a body that is shown."""
MOST_SHOWN = 2_000
"""Characters of a body that are shown."""
SECRET = "[secret]"
_NAMES = r"password|passwd|passphrase|secret|token|authorization|credential|api[_-]?key|private[_-]?key"
_NAMED = re.compile(
    rf"""(?P<name>(?:(?:{_NAMES})[\w-]{{0,40}}|\b(?:pass|pwd|auth))["']?\s*[:=]\s*)"""
    r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|\[secret\]|(?:Basic\s+|Digest\s+)?[^\s,;&}\])]+)""",
    re.IGNORECASE,
)
"""Of bounded width wherever it can fail: clients choose what it reads."""
_COLUMN = re.compile(_NAMES, re.IGNORECASE)
_NAMING = frozenset({"name", "key", "field", "column", "feature", "attribute"})
_VALUES = frozenset({"value", "values", "data", "content", "val"})
"""Members that name what is in the others beside them."""
_LISTED = re.compile(
    rf"""[\[,]\s{{0,9}}"[\w\s-]{{0,40}}(?:{_NAMES})[\w\s-]{{0,40}}"\s{{0,9}}[,\]]""", re.IGNORECASE
)
"""A column of secrets in a list of columns."""
_FORMS = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bBearer\s+[\w.~+/=-]{8,}|\beyJ[\w-]{8,2000}\.[\w-]{8,2000}\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*|\b(?:sk|ghp|gho|xox[abp])[-_][\w-]{16,}"
)


@dataclass(frozen=True)
class ShownBody:
    """``text`` None: it is not shown, and ``note`` says why. ``cut``: there is more."""

    content_type: str
    text: str | None
    note: str = ""
    cut: bool = False


@dataclass(frozen=True)
class CaptureSample:
    """``at``: as captured, ISO 8601. None: that side was not captured."""

    at: str
    variant: str
    config: str
    inference_id: str
    attributes: str
    request: ShownBody | None
    answer: ShownBody | None


def read_samples(addresses: Iterable[str], s3: tuple[str, str], now: float, most: int) -> list[CaptureSample]:
    """Read samples, the newest first, from the newest file of each variant that has any. ``now``: epoch seconds.
    Raises TidegateError."""
    found: list[CaptureSample] = []
    for address in addresses:
        variant = address.rstrip("/").rpartition("/")[2]
        lines: deque[bytes] = deque(_newest_lines(address, s3, now), maxlen=most)
        read = (read_sample(line, variant) for line in lines)
        found += [one for one in read if one is not None]
    return sorted(found, key=lambda one: one.at, reverse=True)[:most]


def _newest_lines(address: str, s3: tuple[str, str], now: float) -> Iterator[bytes]:
    for hour in reversed(hours_of(now - HOURS * 3600, now + 1)):
        files = [
            file
            for file in list_files(f"{address.rstrip('/')}/{hour}", s3)
            if is_captured("/".join(file.path.split("/")[-5:]))
        ]
        if files:
            newest = max(files, key=lambda file: file.path)
            for _, line in zip(range(MOST_LINES), newest.lines(), strict=False):
                yield line
            return


def read_sample(line: bytes, variant: str) -> CaptureSample | None:
    """Read a sample from a captured line; None if it is not one."""
    try:
        document = json.loads(line)
        data, about = document["captureData"], document["eventMetadata"]
        assert isinstance(data, dict) and isinstance(about, dict)
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
        return None
    redactor = Redactor(Redaction(), None)
    attributes = about.get("customAttributes")
    listed = attributes if isinstance(attributes, list) else []
    return CaptureSample(
        _line(redactor, about.get("inferenceTime")),
        variant,
        _line(redactor, about.get("configName"), plain=True),
        _line(redactor, about.get("inferenceId")),
        ", ".join(_line(redactor, one) for one in listed[:10]),
        _side(redactor, data.get("endpointInput"), request=True),
        _side(redactor, data.get("endpointOutput"), request=False),
    )


def _line(redactor: Redactor, text: object, plain: bool = False) -> str:
    """Return the beginning of a text without personal data and secrets. ``plain``: a name of ours, in which no
    personal data is sought."""
    if not isinstance(text, str):
        return ""
    short = text[:200]
    return hide_secrets(short if plain else redactor.text(short))


def _side(redactor: Redactor, side: object, *, request: bool) -> ShownBody | None:
    if not isinstance(side, Mapping):
        return None
    told: Mapping[str, Any] = side
    data, kind = told.get("data"), str(told.get("observedContentType") or "")[:100]
    encoding = told.get("encoding")
    if not isinstance(data, str):
        return ShownBody(kind, None, "it has no data")
    if encoding == BASE64:
        return ShownBody(kind, None, f"{len(data) * 3 // 4:,} bytes in base64, in which nothing can be masked")
    if len(data) > MOST_BYTES:
        return ShownBody(kind, None, f"{len(data):,} characters: too many to be shown")
    if encoding == CSV and _COLUMN.search(data):
        return ShownBody(kind, None, "its table names a secret")
    if encoding == JSON:  # first: detectors may mask the word that tells what is beside it
        data = _hide_members(data)
    masked = redactor.redact(Body(data.encode("utf-8", "replace"), kind, str(encoding)), request)
    if masked is None:
        return ShownBody(kind, None, "it cannot be read, so nothing could be masked in it")
    whole = masked.data.decode("utf-8", "replace")
    if _LISTED.search(whole):
        return ShownBody(kind, None, "a list in it names a secret")
    text = hide_secrets(whole)
    return ShownBody(masked.content_type or "", text[:MOST_SHOWN], cut=len(text) > MOST_SHOWN)


def _hide_members(text: str) -> str:
    """Remove the values of members whose names mark them as secrets from each document, or line, of JSON, of whatever
    parts these values are."""
    try:
        return json.dumps(_without_secrets(json.loads(text)), ensure_ascii=False)
    except (ValueError, RecursionError):
        lines = text.splitlines()
    return "\n".join(map(_hide_members, lines)) if len(lines) > 1 else text


def _without_secrets(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_secrets(one) for one in value]
    if not isinstance(value, dict):
        return value
    told = any(
        name.lower() in _NAMING and isinstance(one, str) and _COLUMN.search(one) for name, one in value.items()
    )
    return {
        name: SECRET if _COLUMN.search(name) or (told and name.lower() in _VALUES) else _without_secrets(one)
        for name, one in value.items()
    }


def hide_secrets(text: str) -> str:
    """Remove the values of members whose names mark them as secrets, and everything that has the form of a key."""
    return _NAMED.sub(lambda found: f"{found['name']}{SECRET}", _FORMS.sub(SECRET, text))
