"""Texts inside of texts: base64, hexadecimal digits, HTML entities, percent signs. What a client packed is looked at
as if it were not packed."""

import base64
import binascii
import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

SHORTEST = 12
"""Characters of an encoded text: less has no room for an identity."""
DEEPEST = 3
"""Encodings inside of one another that are looked through."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-]{12,}={0,2}", re.ASCII)
_HEX = re.compile(r"(?:0x)?((?:[0-9A-Fa-f]{2}){8,})", re.ASCII)
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""How compressed bytes begin. What is in them is not known."""


def unescape(text: str) -> str:
    """Without percent signs and HTML entities, however often they were put on top of each other."""
    for _ in range(DEEPEST):
        plain = unquote(text) if "%" in text else text
        plain = html.unescape(plain) if "&" in plain else plain
        if plain == text:
            break
        text = plain
    return text


def find_encoded(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end, and the text that it stands for, of each encoded text. What is compressed is an empty text."""
    if len(text) < SHORTEST:
        return
    for one in _BASE64.finditer(text):
        found = _decode(one[0])
        if found is not None:
            yield *one.span(), found


def _decode(text: str) -> str | None:
    if (found := _HEX.fullmatch(text)) is not None:
        return _read(bytes.fromhex(found[1]))
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return _read(data)


def _read(data: bytes) -> str | None:
    if data.startswith(_PACKED):
        return ""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(one.isprintable() or one.isspace() for one in text) else None
