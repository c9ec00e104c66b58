"""Numbers that countries and banks give to people, by their form: tax and social security numbers, identity cards,
payment cards. They count as ``ssn``.

Forms that an amount, a date or a code may have, too, need their check digits. Bare digits are never looked at. Rules:
the pages of the European Commission on tax identification numbers, and of the authorities named below."""

import re
from collections.abc import Callable, Iterator
from functools import cache

_BEFORE = r"(?<![\w.,:/\-+])"
_AFTER = r"(?![\w]|[.,:/\-]\d)"


def _whole(form: str) -> re.Pattern[str]:
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
        (_whole(r"\d\d-\d{7}"), _any),
        # Britain: national insurance number.
        (_whole(r"[A-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-D]"), _any),
        # Germany: tax number of a person, social insurance number.
        (_whole(r"\d\d \d{3} \d{3} \d{3}"), _any),
        (_whole(r"\d\d ?\d{6} ?[A-Z] ?\d{3}"), _any),
        # India: PAN and Aadhaar. The fourth letter of a PAN is the kind of its holder.
        (_whole(r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]"), _any),
        (_whole(r"[2-9]\d{3}([ \-])\d{4}\1\d{4}"), _any),
        # Spain, Italy, Finland, Mexico, France.
        (_whole(r"[XYZ]?[ \-]?\d{7,8}[ \-]?[A-Z]"), _spanish),
        (_whole(r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]"), _any),
        (_whole(r"\d{6}[\-+A]\d{3}[0-9A-Y]"), _any),
        (_whole(r"[A-Z]{4}\d{6}[HM][A-Z]{5}[0-9A-Z]\d"), _any),
        (_whole(r"[12] ?\d\d ?\d\d ?\d[\dAB] ?\d{3} \d{3}(?: ?\d\d)?"), _any),
        # Sweden, Denmark, and others of six and four digits.
        (_whole(r"\d{6}-\d{4}"), _any),
        # Canada and Australia.
        (_whole(r"\d{3} \d{3} \d{3}"), _sin_or_tfn),
        # Payment cards.
        (_whole(r"\d{4} \d{4} \d{4} \d{1,7}"), _luhn),
        (_whole(r"3\d{3} \d{6} \d{4,5}"), _luhn),
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
