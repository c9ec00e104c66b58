"""Finds personal data in one value, by what it looks like.

A plain number is never taken for anything: features are numbers, and nine digits are an amount more often than an
SSN. A field that holds identities as bare digits must be named.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from tidegate.domain.capture import Detector
from tidegate.features.capture.encoded_text import find_encoded, unescape
from tidegate.features.capture.ibans import find_ibans
from tidegate.features.capture.identifiers import find_identifiers
from tidegate.features.capture.labelled_values import find_labelled
from tidegate.features.capture.names import find_names

MOST_WORDS = 4
"""Words of a value that is not a sentence yet."""
LONGEST = 4096
"""Characters of a value that is looked at; a longer one is dropped as text."""
NUMBER = r"-?+\d*+(?:\.\d*+)?+(?:[eE][+\-]?+\d++)?+"
_PLAIN = re.compile(rf"\s*+(?:{NUMBER}|[Tt]rue|[Ff]alse|[Nn]ull|[Nn]a[Nn]|[Nn]one)\s*+", re.ASCII)
_AT = r"(?:\s{0,2}@\s{0,2}|\s{0,2}[\(\[{<]\s?at\s?[\)\]}>]\s{0,2})"
_DOT = r"(?:\.|\s?[\(\[{<]\s?dot\s?[\)\]}>]\s?)"
_EMAIL = re.compile(
    rf"""(?:[\w.!#$%&'*+/=?^`{{|}}~\-]{{1,64}}|"[^"\n]{{1,64}}"){_AT}"""
    rf"(?:[\w\-]{{1,63}}(?:{_DOT}[\w\-]{{1,63}})+|\[[0-9A-Fa-f.:]{{3,45}}\])",
    re.IGNORECASE,
)
_PHONES = (
    re.compile(r"(?<![\d+])\+[1-9]\d{0,2}(?:[ .\-/()]{0,2}\d){6,13}(?!\d)", re.ASCII),
    re.compile(r"(?<![\w+])00[1-9]\d{0,2}(?:[ .\-/()]{0,2}\d){6,13}(?!\w)", re.ASCII),
    re.compile(
        r"(?<![\w.])(?:\+?1[ .\-])?(?:\(\d{3}\) ?|\d{3}[ .\-])\d{3}[ .\-]\d{4}"
        r"(?:\s?(?:x|ext\.?)\s?\d{1,6})?(?!\w)(?!\.\d)",
        re.ASCII,
    ),
    re.compile(r"(?<![\w+])\(\d{3}\) ?\d{3}[ .\-]?\d{4}(?!\w)", re.ASCII),
    re.compile(r"(?<![\w.,\-])0\d(?:[ .]\d\d){4}(?!\w)(?![.,]\d)", re.ASCII),
    re.compile(r"(?<![\w.,\-])[6-9]\d{4} \d{5}(?!\w)(?![.,]\d)", re.ASCII),
    re.compile(r"(?<![\w.,\-])\(?0\d{1,4}\)?[ /\-]\d{3,4}(?:[ \-]?\d{2,5}){0,3}(?!\w)(?![.,]\d)", re.ASCII),
)
_FEWEST_DIGITS = 9
"""Of a phone number: months and ranges of years have fewer."""


_CERTAIN = (Detector.EMAIL, Detector.IBAN, Detector.PHONE, Detector.SSN, Detector.NAME, Detector.TEXT)


class Finding(NamedTuple):
    kind: Detector
    start: int
    end: int


Replace = Callable[[Detector, str], str]
"""What takes the place of a value that was found."""


def is_plain(text: str) -> bool:
    """Whether it is a number, a truth value or nothing."""
    return _PLAIN.fullmatch(text) is not None


def scrub(text: str, kinds: Collection[Detector], replace: Replace) -> str:
    """The value without what the detectors find in it. It is returned unchanged where they find nothing."""
    if is_plain(text):
        return text
    seen = _normalise(text)
    if len(seen) > LONGEST:
        return replace(Detector.TEXT, seen)
    found = _find(seen, kinds)
    whole = len(found) == 1 and found[0].end - found[0].start == len(seen.strip())
    if Detector.TEXT in kinds and not whole and _is_sentence(seen):
        return replace(Detector.TEXT, seen)
    if not found:
        return text
    parts, at = [], 0
    for kind, start, end in found:
        parts += [seen[at:start], replace(kind, seen[start:end])]
        at = end
    return "".join([*parts, seen[at:]])


def _is_sentence(text: str) -> bool:
    words = text.split()
    return len(words) > MOST_WORDS and not all(is_plain(word) for word in words)


def _normalise(text: str) -> str:
    """Letters and digits of other widths, characters without a width, percent signs and entities hide nothing."""
    text = unescape(text)
    if not text.isascii():
        text = "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) != "Cf")
        text = "".join("-" if unicodedata.category(one) == "Pd" else one for one in text)
    return text


def _find(text: str, kinds: Collection[Detector]) -> list[Finding]:
    """What is found, in order, without overlaps: of two the one that begins first, then the longer one, then the one
    of the detector that is more certain, so that a value has one hash in every process."""
    every = [one for kind in kinds for one in _FINDERS[kind](text)]
    every += _hidden(text, kinds)
    found: list[Finding] = []
    for one in sorted(every, key=lambda one: (one.start, -one.end, _CERTAIN.index(one.kind))):
        if not found or one.start >= found[-1].end:
            found.append(one)
    return found


def _hidden(text: str, kinds: Collection[Detector]) -> Iterator[Finding]:
    """Encoded texts in which something is found, or that cannot be read."""
    if not kinds:
        return
    for start, end, plain in find_encoded(text):
        if not plain or (len(plain) < len(text) and scrub(plain, kinds, lambda kind, found: "") != plain):
            yield Finding(Detector.TEXT, start, end)


def _emails(text: str) -> Iterator[Finding]:
    if "@" in text or "at" in text.lower():
        yield from (Finding(Detector.EMAIL, *one.span()) for one in _EMAIL.finditer(text))


def _ssns(text: str) -> Iterator[Finding]:
    return (Finding(Detector.SSN, *span) for span in (*find_identifiers(text), *find_labelled(Detector.SSN, text)))


def _ibans(text: str) -> Iterator[Finding]:
    return (Finding(Detector.IBAN, *span) for span in (*find_ibans(text), *find_labelled(Detector.IBAN, text)))


def _phones(text: str) -> Iterator[Finding]:
    for pattern in _PHONES:
        for one in pattern.finditer(text):
            if sum(character.isdigit() for character in one[0]) >= _FEWEST_DIGITS:
                yield Finding(Detector.PHONE, *one.span())
    yield from (Finding(Detector.PHONE, *span) for span in find_labelled(Detector.PHONE, text))


def _names(text: str) -> Iterator[Finding]:
    return (Finding(Detector.NAME, *span) for span in (*find_names(text), *find_labelled(Detector.NAME, text)))


def _nothing(text: str) -> Iterator[Finding]:
    return iter(())


_FINDERS: dict[Detector, Callable[[str], Iterator[Finding]]] = {
    Detector.SSN: _ssns,
    Detector.IBAN: _ibans,
    Detector.EMAIL: _emails,
    Detector.PHONE: _phones,
    Detector.NAME: _names,
    Detector.TEXT: _nothing,
}
