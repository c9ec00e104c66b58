"""What a client is told whose JSON is no JSON."""

import re

from tidegate.worker.invocation import ModelFailed

_BYTE = re.compile(r"invalid (?:character|number) \(byte (\d+)\)")
TOO_LARGE = "Number out of range"
"""How the decoder begins to tell of a number that no float can hold."""
_NUMBER = re.compile(rb"-?(NaN|Infinity)")


def unreadable(error: Exception, body: bytes) -> ModelFailed:
    """``error``: the decoder's, about ``body``."""
    said = str(error)
    if not body.strip():
        return ModelFailed(400, "The body is empty; send JSON.")
    if said == "Input data was truncated":
        return ModelFailed(
            400, f"The JSON is cut off: it ends after {len(body)} byte(s), in the middle of a value."
        )
    if said.startswith(TOO_LARGE):
        return ModelFailed(400, "The JSON holds a number that is too large: beyond 1.8e308.")
    if (at := _BYTE.search(said)) is not None:
        near = max(0, int(at[1]) - 2)
        if found := _NUMBER.search(body, near, near + 12):
            told = f"{found[0].decode()} (byte {found.start()}) is no JSON; send null for a value that is missing."
            return ModelFailed(400, told)
    return ModelFailed(400, f"The JSON cannot be used: {said}.")
