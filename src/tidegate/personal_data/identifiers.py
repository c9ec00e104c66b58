"""Numbers that countries and banks give to people, by their form: tax and social security numbers, identity cards and
payment cards, which count as ``ssn``, and bank accounts (IBAN, ISO 13616).

Forms that an amount, a date or a code may have, too, need their check digits. Bare digits are never looked at. Rules:
the pages of the European Commission on tax identification numbers, and of the authorities named below.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache

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


_BEFORE = r"(?<![\w.,:/\-+])"
_AFTER = r"(?![\w]|[.,:/\-]\d)"


def _bound_form(form: str) -> re.Pattern[str]:
    """A form with nothing before or after it that it could be a part of."""
    return re.compile(f"{_BEFORE}(?:{form}){_AFTER}", re.ASCII | re.IGNORECASE)


def _digits(text: str) -> list[int]:
    return [int(one) for one in text if one.isdigit()]


def _luhn(text: str) -> bool:
    """Payment cards (ISO/IEC 7812), Canada's SIN."""
    total = 0
    for place, digit in enumerate(reversed(_digits(text))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _sin_or_tfn(text: str) -> bool:
    """Canada's social insurance number, or Australia's tax file number."""
    weights = (1, 4, 3, 7, 5, 8, 6, 9, 10)
    return _luhn(text) or not sum(a * b for a, b in zip(_digits(text), weights, strict=True)) % 11


def _spanish(text: str) -> bool:
    """DNI and NIE: the letter follows from the number."""
    bare = text.upper().replace("-", "").replace(" ", "")
    number = {"X": "0", "Y": "1", "Z": "2"}.get(bare[0], bare[0]) + bare[1:-1]
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == bare[-1]


def _any(text: str) -> bool:
    return True


_MINUS = r"[ .\-_/:·‐-―−]"
_GAP = rf"(?:\s{{0,3}}{_MINUS}\s{{0,3}}|\s{{1,3}})"


@cache
def _forms() -> tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...]:
    """Compiled once they are needed: it takes longer than the start of a replica should."""
    return (
        # United States: SSN and ITIN with any separators, EIN.
        (re.compile(rf"(?<!\d)(?<!\d[.\-])(?!000|666)\d{{3}}{_GAP}(?!00)\d\d{_GAP}(?!0000)\d{{4}}(?!-?\d)"), _any),
        (_bound_form(r"\d\d-\d{7}"), _any),
        # Britain: national insurance number.
        (_bound_form(r"[A-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-D]"), _any),
        # Germany: tax number of a person, social insurance number.
        (_bound_form(r"\d\d \d{3} \d{3} \d{3}"), _any),
        (_bound_form(r"\d\d ?\d{6} ?[A-Z] ?\d{3}"), _any),
        # India: PAN and Aadhaar. The fourth letter of a PAN is the kind of its holder.
        (_bound_form(r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]"), _any),
        (_bound_form(r"[2-9]\d{3}([ \-])\d{4}\1\d{4}"), _any),
        # Spain, Italy, Finland, Mexico, France.
        (_bound_form(r"[XYZ]?[ \-]?\d{7,8}[ \-]?[A-Z]"), _spanish),
        (_bound_form(r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]"), _any),
        (_bound_form(r"\d{6}[\-+A]\d{3}[0-9A-Y]"), _any),
        (_bound_form(r"[A-Z]{4}\d{6}[HM][A-Z]{5}[0-9A-Z]\d"), _any),
        (_bound_form(r"[12] ?\d\d ?\d\d ?\d[\dAB] ?\d{3} \d{3}(?: ?\d\d)?"), _any),
        # Sweden, Denmark, and others of six and four digits.
        (_bound_form(r"\d{6}-\d{4}"), _any),
        # Canada and Australia.
        (_bound_form(r"\d{3} \d{3} \d{3}"), _sin_or_tfn),
        # Payment cards.
        (_bound_form(r"\d{4} \d{4} \d{4} \d{1,7}"), _luhn),
        (_bound_form(r"3\d{3} \d{6} \d{4,5}"), _luhn),
    )


_GROUPED = re.compile(
    rf"(?<![\w.,:+\-/])\d{{1,7}}(?:{_MINUS}\d{{1,9}}){{2,7}}(?![\w]|[.,:/\-]\d)",
    re.ASCII,
)
"""Groups of digits with separators between them."""
_FEWEST_DIGITS = 9
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.:]\d{1,9})?)?"
_TIME = re.compile(
    rf"(?:(?:\d{{1,2}}|\d{{4}})([/.\-:])\d{{1,2}}\1(?:\d{{4}}|\d{{1,2}})(?:[ _\-:]{_CLOCK})?|{_CLOCK})"
    r"|\d{4}-\d\d-\d\d[ _\-]\d{1,2}[\-_]\d\d(?:[\-_]\d\d)?"
)
_ADDRESS = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?::\d{1,5})?")


def find_identifiers(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each."""
    for form, checks in _forms():
        for one in form.finditer(text):
            if checks(one[0]):
                yield one.span()
    for one in _GROUPED.finditer(text):
        if _is_identifier(one[0]):
            yield one.span()


def _is_identifier(text: str) -> bool:
    """Whether grouped digits are no date, time, network address, row of numbers or years."""
    if sum(one.isdigit() for one in text) < _FEWEST_DIGITS:
        return False
    if " " in text and not set(text) - set("0123456789 ."):
        return False
    if not set(text) - set("0123456789.") and any(len(group) == 1 for group in text.split(".")):
        return False  # a version: 10.0.19045.3570
    return not (_TIME.fullmatch(text) or _ADDRESS.fullmatch(text))
