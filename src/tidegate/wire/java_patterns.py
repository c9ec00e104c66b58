"""Translates the service models' patterns from Java's regular expressions to Python's.

The differences that occur: property classes (``\\p{L}``, ``\\p{Print}``), surrogate pairs for characters beyond 16
bits, ``\\z``, a quantifier on ``$``, ASCII-only ``\\d``, ``\\s`` and ``\\w``, and more line terminators that ``.``
does not match.
"""

import logging
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from itertools import groupby

log = logging.getLogger(__name__)

ASSIGNED = (range(0x40000), range(0xE0000, 0xE0200))
"""Code points with assigned characters, without those for private use."""
PRINTABLE: Mapping[str, str] = {
    "Print": r"\x20-\x7e",
    "Graph": r"\x21-\x7e",
    "ASCII": r"\x00-\x7f",
    "Alnum": "a-zA-Z0-9",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Lower": "a-z",
    "Upper": "A-Z",
    "Space": r"\s",
}
"""Java's POSIX classes, which are ASCII only. Every other property is a Unicode general category."""
LINE_ENDS = r"\n\r\x85\u2028\u2029"
_SURROGATES = (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010ffff")
_TOKENS = re.compile(r"\\([pP])\{(\w+)\}|\\[pP](\w)|\\z|\\.|\$\{[\d,]*\}|[\[\].]", re.DOTALL)


def matches(value: str, pattern: str) -> bool:
    """Whether the whole value matches. Patterns that cannot be translated, which a newer botocore may bring, are not
    checked."""
    compiled = _compile(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


@cache
def _compile(pattern: str) -> re.Pattern[str] | None:
    try:
        return compile_java(pattern)
    except re.error as error:
        log.warning("members with the pattern %s are not checked against it: %s", pattern, error)
        return None


def compile_java(pattern: str) -> re.Pattern[str]:
    """Compile for ``fullmatch``. Raises re.error for a pattern that cannot be translated."""
    return re.compile(translate(pattern), re.ASCII)


def translate(pattern: str) -> str:
    """Raises re.error."""
    inside = False

    def part(token: re.Match[str]) -> str:
        nonlocal inside
        text = token[0]
        if name := token[2] or token[3]:
            return _property(name, negated=text[1] == "P", inside=inside)
        if text == "[" and not inside:
            inside = True
        elif text == "]":
            inside = False
        elif text == "." and not inside:
            return f"[^{LINE_ENDS}]"
        elif text == r"\z":
            return r"\Z"
        elif text.startswith("${"):
            return "$"
        return text

    return _TOKENS.sub(part, pattern.replace(*_SURROGATES))


def _property(name: str, *, negated: bool, inside: bool) -> str:
    if negated and inside:
        raise re.error(f"\\P{{{name}}} inside a class")
    members = PRINTABLE[name] if name in PRINTABLE else _category(name)
    return members if inside else f"[{'^' if negated else ''}{members}]"


@cache
def _category(name: str) -> str:
    """The characters of a general category such as ``Lu``, or of its group such as ``L``, as ranges for a character
    class."""
    found = [members for category, members in _categories().items() if category.startswith(name)]
    if not found:
        raise re.error(f"Unicode has no general category {name}")
    return "".join(found)


@cache
def _categories() -> Mapping[str, str]:
    """Takes some hundredths of a second, once per process."""
    ranges: dict[str, list[str]] = {}
    for codes in ASSIGNED:
        for category, run in groupby(codes, lambda code: unicodedata.category(chr(code))):
            first, *rest = run
            ranges.setdefault(category, []).append(f"\\U{first:08x}-\\U{rest[-1] if rest else first:08x}")
    return {category: "".join(runs) for category, runs in ranges.items()}
