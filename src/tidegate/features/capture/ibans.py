"""International bank account numbers (ISO 13616): found by country, length and check digits."""

import re
from collections.abc import Iterator

_LENGTHS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE", "BI"), 16),
    **dict.fromkeys(("DK", "FO", "FI", "GL", "NL", "SD", "FK"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "XK", "MN"), 20),
    **dict.fromkeys(("HR", "LV", "LI", "CH"), 21),
    **dict.fromkeys(("BG", "BH", "CR", "GE", "DE", "IE", "ME", "RS", "GB", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "TL", "OM", "SO"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("PT", "ST", "LY"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("FR", "GR", "IT", "MC", "MR", "SM", "DJ"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "PL", "SV", "NI"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU", "YE"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    "LC": 32,
    "RU": 33,
}
"""Country -> characters of its numbers."""
_START = re.compile(
    r"(?:(?<=[Ii][Bb][Aa][Nn])|(?<![A-Za-z0-9]))([A-Za-z]{2})[ \-]?[0-9]{2}(?=[\s./_:·\-]{0,3}[A-Za-z0-9])"
)
_SEPARATORS = " \t\r\n.-/_:·"


def find_ibans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each number, written in any case, with or without separators."""
    past = 0
    for start in _START.finditer(text):
        length = _LENGTHS.get(start[1].upper())
        if length is None or start.start() < past:
            continue
        end, number = _take(text, start.start(), length)
        if len(number) == length and not text[end : end + 1].isalnum() and _checks(number):
            past = end
            yield start.start(), end


def _take(text: str, start: int, length: int) -> tuple[int, str]:
    """The position after ``length`` letters and digits, and those."""
    taken: list[str] = []
    at = start
    while at < len(text) and len(taken) < length:
        if text[at].isascii() and text[at].isalnum():
            taken.append(text[at].upper())
        elif text[at] not in _SEPARATORS:
            break
        at += 1
    return at, "".join(taken)


def _checks(number: str) -> bool:
    """ISO 7064, modulo 97."""
    return int("".join(str(int(one, 36)) for one in number[4:] + number[:4])) % 97 == 1
