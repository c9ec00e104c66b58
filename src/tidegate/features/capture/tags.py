"""Redaction of captures for clients of SageMaker's API, which has no member for it: tags of the endpoint config.

Values of tags have no commas, so words are separated by spaces.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from tidegate.domain.capture import Capture, Detector, Redaction, RedactionMethod
from tidegate.domain.errors import Invalid

PREFIX = "tidegate:redact"
FIELDS, COLUMNS, KEY = f"{PREFIX}-fields", f"{PREFIX}-columns", f"{PREFIX}-key"
ALL, NONE = "all", "none"
"""In place of the names of detectors."""
W = TypeVar("W", bound=StrEnum)


def redact(capture: Capture | None, tags: Mapping[str, str]) -> Capture | None:
    """The capture with what its config's tags remove of it. Raises Invalid for a tag that means nothing: what it was
    to remove would be written."""
    given = {name: value for name, value in tags.items() if name.lower().startswith(PREFIX)}
    if not given:
        return capture
    unknown = sorted(given.keys() - {PREFIX, FIELDS, COLUMNS, KEY})
    if unknown:
        raise Invalid(f"the tag {unknown[0]} means nothing: use {PREFIX}, {FIELDS}, {COLUMNS} and {KEY}")
    if capture is None:
        raise Invalid(f"the tag {min(given)} redacts data capture, and the config has no DataCaptureConfig")
    if PREFIX not in given:
        raise Invalid(f"the tag {min(given)} needs {PREFIX} beside it: '{ALL}', '{NONE}', or names of detectors")
    return replace(
        capture,
        redaction=Redaction(
            fields=dict(_parse_field(word) for word in given.get(FIELDS, "").split()),
            detect=_parse_detectors(given[PREFIX]),
            columns=tuple(given.get(COLUMNS, "").split()),
            key=given.get(KEY) or None,
        ),
    )


def _parse_detectors(text: str) -> tuple[Detector, ...]:
    words = text.split()
    if words in ([ALL], [NONE]):
        return tuple(Detector) if words == [ALL] else ()
    if not words:
        raise Invalid(f"the tag {PREFIX} is empty: give '{ALL}', '{NONE}', or names of detectors")
    return tuple(_parse_word(word, Detector, PREFIX) for word in words)


def _parse_field(word: str) -> tuple[str, RedactionMethod]:
    name, equals, action = word.rpartition("=")
    if not (name and equals):
        raise Invalid(f"the tag {FIELDS} has {word!r}: expected NAME=ACTION, such as employee_id=hash")
    path = f"${name}" if name.startswith(".") else name  # values of tags have no $
    return path, _parse_word(action, RedactionMethod, FIELDS)


def _parse_word(word: str, kind: type[W], tag: str) -> W:
    try:
        return kind(word)
    except ValueError:
        raise Invalid(f"the tag {tag} has {word!r}: expected one of {', '.join(kind)}") from None
