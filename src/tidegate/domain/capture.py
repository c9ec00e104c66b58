"""Settings for the capture of an endpoint's requests and answers: which are captured, where to, and what is redacted
before it is written."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.domain.errors import Invalid

DEFAULT_KEEP = 10 * 1024**3
"""Bytes of captures of one variant that are kept in a folder, where nothing else is said."""
CSV_TYPES = ("text/csv",)
JSON_TYPES = ("application/json",)
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


class RedactionMethod(StrEnum):
    """Treatment of a value by redaction."""

    DROP = "drop"
    """Nothing is left of it."""
    MASK = "mask"
    """A word in brackets says what it was."""
    HASH = "hash"
    """A keyed hash stands in its place, equal for equal values."""
    KEEP = "keep"
    """It is written as it is, whatever the detectors say."""


class Detector(StrEnum):
    """Kind of data that redaction searches for in every value, and by the names of fields."""

    SSN = "ssn"
    IBAN = "iban"
    EMAIL = "email"
    PHONE = "phone"
    NAME = "name"
    TEXT = "text"
    """Sentences: they are dropped whole."""


@dataclass(frozen=True)
class Redaction:
    """How personal data is removed.

    ``fields``: name of a column, or of a member at any depth, or a path ``$.employee.iban`` -> what becomes of it.
    ``columns``: names of the columns of requests that do not name them. ``key``: the name of the key of hashes, a
    file in the server's folder of keys; None: what detectors find is masked.
    """

    fields: dict[str, RedactionMethod] = field(default_factory=dict)
    detect: tuple[Detector, ...] = tuple(Detector)
    columns: tuple[str, ...] = ()
    key: str | None = None


@dataclass(frozen=True)
class Capture:
    """Data capture of an endpoint's variants. ``destination``: ``s3://bucket/prefix`` or ``file:///folder``."""

    destination: str
    percent: int = 100
    """Share of the requests, 0 to 100."""
    enabled: bool = True
    inputs: bool = True
    outputs: bool = True
    csv: tuple[str, ...] = CSV_TYPES
    """Media types that are written as CSV; what is neither in this list nor the next is written in base64."""
    json: tuple[str, ...] = JSON_TYPES
    kms_key: str = ""
    """Key with which S3 encrypts the objects; empty: the bucket's own way."""
    keep: int = DEFAULT_KEEP
    """Bytes of each variant that are kept in a folder, oldest files first to go; a bucket has rules of its own."""
    redaction: Redaction | None = None


def check_capture(capture: Capture) -> None:
    """Check that a capture can work. The address itself is not checked. Raises Invalid."""
    if not 0 <= capture.percent <= 100:
        raise Invalid(f"data capture of {capture.percent} %: it must be 0 to 100")
    if not (capture.inputs or capture.outputs):
        raise Invalid("data capture of neither input nor output: choose one of them, or both")
    if capture.keep < 1:
        raise Invalid(f"data capture that keeps {capture.keep} bytes: it must be at least 1")
    if capture.kms_key and capture.destination.startswith("file:"):
        raise Invalid("KmsKeyId encrypts objects in S3: leave it out for a folder")
    rules = capture.redaction
    if rules is not None and rules.key is not None and not _KEY.fullmatch(rules.key):
        raise Invalid(f"{rules.key!r} is no name of a key: use letters, digits, points, hyphens and underscores")
    if rules is not None and RedactionMethod.HASH in rules.fields.values() and rules.key is None:
        raise Invalid("redaction by hash needs a key: name one (its file lies in the server's folder of keys)")
