"""JSON for answers, with non-finite numbers: NaN is ``null``, and infinity has its name in protocol buffers' JSON.
Explains what is wrong with JSON of requests.

Does not import numpy, for runtimes that do not need it.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

from tidegate.serving.contract.invocation import ModelFailed
from tidegate.transform import strict_json


def encode_json(value: Any, plain: Callable[[Any], Any] | None = None) -> bytes:
    """Encode a value with its infinities. ``plain`` converts values that JSON does not support."""
    body = msgspec.json.encode(value, enc_hook=plain)
    if b"null" not in body:
        return body
    # A null may be an infinite number.
    hook = None if plain is None else lambda one: named_infinities(plain(one))
    return msgspec.json.encode(named_infinities(value), enc_hook=hook)


def named_infinities(value: Any) -> Any:
    """Replace infinite numbers by text."""
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list | tuple):
        return [named_infinities(one) for one in value]
    if isinstance(value, dict):
        return {name: named_infinities(one) for name, one in value.items()}
    return value


# --- error messages for invalid JSON ---


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
    if (misfit := _MISFIT.fullmatch(text)) is not None:
        try:
            msgspec.json.decode(body)  # the types of a value are checked before what stands behind it
        except msgspec.DecodeError as malformed:
            return unreadable(malformed, body)
        return ModelFailed(400, _describe_misfit(misfit["expected"], misfit["got"], misfit["path"] or "$"))
    hint = "" if body.lstrip()[:1] in (b"[", b"{", b'"') else _NOT_JSON
    return ModelFailed(400, f"The JSON cannot be used: {text}.{hint}")


_NOT_JSON = " If the body is no JSON, name its type: 'Content-Type: text/csv', for example."
_MISFIT = re.compile(r"Expected `(?P<expected>[^`]+)`, got `(?P<got>[^`]+)`(?: - at `(?P<path>[^`]+)`)?")
_WORDS = {
    "array": "a list",
    "object": "an object",
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}
_ROWS = ("$.instances", "$.inputs", "$.dataframe_records")


def _describe_misfit(expected: str, got: str, path: str) -> str:
    """The decoder's message in the words of JSON: what is where, and what belongs there."""
    kinds = [_WORDS.get(kind, kind) for kind in expected.split(" | ") if kind != "null"] or ["null"]
    wanted, found = " or ".join(kinds), _WORDS.get(got, got)
    outer = path.removeprefix("$.").partition("[")[0].partition(".")[0]
    if path == "$":
        return f"The JSON cannot be used: it is {found}, and must be {wanted}."
    if path in _ROWS and "array" in expected:
        return (
            f'{outer!r} must be a list of rows, not {found}: send lists, such as {{"{outer}": [[1, 2]]}}, or an'
            " object by name for each row."
        )
    if path in (f"{one}[...]" for one in _ROWS):
        return f"A row in {outer!r} is {found}; it must be {wanted}."
    if "." in path and "[" not in path:
        return f"The JSON cannot be used: {path.removeprefix('$.')!r} is {found}, and must be {wanted}."
    where = path.removeprefix("$").removeprefix(".").replace("[...]", "[]")
    return f"The JSON cannot be used: a value at {where} is {found}, and must be {wanted}."


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
