"""Error messages for invalid JSON."""

import re
from typing import Any

import msgspec

from tidegate.serving.contract.invocation import ModelFailed
from tidegate.transform import strict_json

_BYTE = re.compile(r"invalid (?:character|number) \(byte (\d+)\)")
TOO_LARGE = "Number out of range"
"""Beginning of the decoder's message for a number beyond floats."""
TWICE = "The key {!r} is given twice in one object of the JSON; send it once."
_NUMBER = re.compile(rb"-?(NaN|Infinity)")


def unreadable(error: Exception, body: bytes) -> ModelFailed:
    """The error for ``body``; ``error``: the decoder's."""
    text = str(error)
    if not body.strip():
        return ModelFailed(400, "The body is empty; send JSON.")
    if text == "Input data was truncated":
        return ModelFailed(
            400, f"The JSON is cut off: it ends after {len(body)} byte(s), in the middle of a value."
        )
    if text.startswith(TOO_LARGE):
        return ModelFailed(400, "The JSON holds a number that is too large: beyond 1.8e308.")
    if (at := _BYTE.search(text)) is not None:
        near = max(0, int(at[1]) - 2)
        if found := _NUMBER.search(body, near, near + 12):
            message = (
                f"{found[0].decode()} (byte {found.start()}) is no JSON; send null for a value that is missing."
            )
            return ModelFailed(400, message)
    return ModelFailed(400, f"The JSON cannot be used: {text}.")


def deep() -> ModelFailed:
    """The error for JSON that is nested too deeply for the decoder."""
    return ModelFailed(400, "The JSON is nested too deeply.")


def parse_json(body: bytes) -> Any:
    """Parse a body. Raises ModelFailed (400), also for a duplicate key."""
    try:
        return strict_json.decode(body)
    except strict_json.RepeatedKey as repeated:
        raise ModelFailed(400, TWICE.format(repeated.key[:100])) from None
    except RecursionError:
        raise deep() from None
    except (msgspec.DecodeError, ValueError) as error:
        raise unreadable(error, body) from None
