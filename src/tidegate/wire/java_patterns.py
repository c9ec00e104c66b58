"""The service models' patterns, which are written in Java's dialect, as Python's.

What differs and occurs in them: property classes (``\\p{L}``, ``\\p{Print}``), pairs of surrogates for what is beyond
16 bits, ``\\z``, a quantifier on ``$``; ``\\d``, ``\\s`` and ``\\w`` mean ASCII; ``.`` stops at more ends of lines.
"""

import logging
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from itertools import groupby

log = logging.getLogger(__name__)

ASSIGNED = (range(0x40000), range(0xE0000, 0xE0200))
"""Where Unicode has characters other than those for private use."""
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
"""Java's POSIX classes, which are of ASCII alone. Every other property is a general category of Unicode."""
LINE_ENDS = r"\n\r\x85\u2028\u2029"
_SURROGATES = (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010ffff")
_TOKENS = re.compile(r"\\([pP])\{(\w+)\}|\\[pP](\w)|\\z|\\.|\$\{[\d,]*\}|[\[\].]", re.DOTALL)


def matches(value: str, pattern: str) -> bool:
    """The whole value fits. A pattern that is not understood, which a newer botocore may bring, is not checked."""
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
    """For use with ``fullmatch``. Raises re.error for what is not understood."""
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
        raise re.error(f"\\P{{{name}}} inside of a class")
    members = PRINTABLE[name] if name in PRINTABLE else _category(name)
    return members if inside else f"[{'^' if negated else ''}{members}]"


@cache
def _category(name: str) -> str:
    """The characters of a general category such as ``Lu``, or of its group such as ``L``, as ranges of a class."""
    found = [members for category, members in _categories().items() if category.startswith(name)]
    if not found:
        raise re.error(f"Unicode has no general category {name}")
    return "".join(found)


@cache
def _categories() -> Mapping[str, str]:
    """Some hundredths of a second, once in a process."""
    ranges: dict[str, list[str]] = {}
    for codes in ASSIGNED:
        for category, run in groupby(codes, lambda code: unicodedata.category(chr(code))):
            first, *rest = run
            ranges.setdefault(category, []).append(f"\\U{first:08x}-\\U{rest[-1] if rest else first:08x}")
    return {category: "".join(runs) for category, runs in ranges.items()}
