"""Finds personal data in one value, by what it looks like.

A plain number is never taken for anything: features are numbers, and nine digits are an amount more often than an
SSN. A field that holds identities as bare digits must be named.

Names of people are found by rule: text in the form of a name, or after a title. There is no list of names, so the
rules find more than names (New York) and not every name (a first name alone, or all in small letters). A value that
would be a plain number or any word is found by the word before it: ``SSN: 123456789``, ``<name>jane doe</name>``,
``tel=5551234567``. Encoded text (base64, hexadecimal digits, HTML entities, percent signs) is decoded first.
"""

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator
from functools import cache, lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from tidegate.domain.capture import Detector
from tidegate.personal_data.identifiers import find_ibans, find_identifiers

SHORTEST = 12
"""Characters of an encoded text: less has no room for an identity."""
DEEPEST = 3
"""Encodings inside of one another that are looked through."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-]{12,}={0,2}", re.ASCII)
_HEX = re.compile(r"(?:0x)?((?:[0-9A-Fa-f]{2}){8,})", re.ASCII)
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""How compressed bytes begin. What is in them is not known."""


def unescape(text: str) -> str:
    """Decode percent signs and HTML entities, also where they are nested, up to ``DEEPEST`` times."""
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


_NUMBER_WORDS = (
    "ssn|social security|social insurance|national id|national insurance|nino|nin|tin|itin|utr|vat id|tax id|tax no"
    "|tax number|bsn|pesel|nip|pan|aadhaar|aadhar|uid|cpf|cnpj|dni|nie|curp|rfc|steuer id|steuernummer"
    "|steueridentifikationsnummer"
    "|passport|id card|identity card|driving licence|driver license|drivers license"
)
_BANK_WORDS = (
    "iban|bic|account number|account no|account|acct|routing number|routing no|routing|sort code|card number|card no"
    "|card"
)
_PHONE_WORDS = "phone|telephone|mobile|cell|tel|fax|call|ring|whatsapp|sms"
_NAME_WORDS = "full name|first name|last name|given name|family name|middle name|maiden name|surname|name"


def _allow_spaces(words: str) -> str:
    return words.replace(" ", r"[\s_\-]{0,3}")


_LINK = r"""(?:[\s_\-]{0,3}(?:number|num|no|nr|id|\#))?["'\s]{0,3}[:=\#>.\s]{0,4}["'\s]{0,3}"""
_VALUE = r"(?=(?:[A-Za-z]{0,4}[ \-./]?\d){6})[A-Za-z0-9]++(?:[ \-./][A-Za-z]{0,2}\d++[A-Za-z]?)*+"
_LABEL = r"(?<![A-Za-z0-9])(?:(?:my|his|her|their|the|home|work|employee|customer)[\s_\-]*)?"
_WORDS = {Detector.SSN: _NUMBER_WORDS, Detector.IBAN: _BANK_WORDS, Detector.PHONE: _PHONE_WORDS}


@cache
def _form(kind: Detector) -> re.Pattern[str] | None:
    """Compiled once it is needed: it takes longer than the start of a replica should."""
    if kind is Detector.NAME:
        value = r"[^\W\d_][^\d<>\"&;:=,{}\[\]\n]{1,80}"
        link = r"[\"']?\s{0,3}[:=>]\s{0,3}[\"']?"
        return re.compile(rf"{_LABEL}(?:{_allow_spaces(_NAME_WORDS)}){link}(?P<value>{value})", re.IGNORECASE)
    if kind not in _WORDS:
        return None
    words = _allow_spaces(_WORDS[kind])
    return re.compile(rf"{_LABEL}(?:{words}){_LINK}(?P<value>{_VALUE})", re.ASCII | re.IGNORECASE)


def find_labelled(kind: Detector, text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each value of this kind."""
    form = _form(kind)
    return iter(()) if form is None else (one.span("value") for one in form.finditer(text))


_PARTICLES = (
    "van|von|vom|zu|zum|zur|der|den|dem|des|ten|ter|te|de|da|das|di|do|dos|du|del|della|delle|degli|dei|dalla|la|las|le"
    "|les|lo|los|li|y|e|i|af|av|bin|binti|bint|ibn|ben|bar|abu|al|el|s/o|d/o|a/l|a/p|op|aan|auf|und|['’]t|in ['’]t"
)
_WORD = (
    r"(?:(?:[dlDL]|al|el|an|ad|ar|as|at|az|ul|bin|ibn|ben|abu)['’\-])?"
    r"[^\W\d_a-z][^\W\d_]*+(?:['’.\-][^\W\d_]*+){0,5}+"
)
"""A word with a capital, or in a script that has none."""
_NAME = re.compile(rf"(?<![^\W\d_]){_WORD}(?:,?\s+(?:(?:{_PARTICLES})\s+){{0,4}}{_WORD}){{1,4}}")
_TITLED = re.compile(
    rf"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Mme|Mlle|Señor|Señora)\.?\s+{_WORD}(?:\s+{_WORD}){{0,2}}"
)

_DOTTED = re.compile(r"(?<![^\W\d_.])[^\W\d_a-z][^\W\d_A-Z]+\.[^\W\d_a-z][^\W\d_A-Z]+(?![^\W\d_.])")
"""``Anna.Müller``."""


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each: two words or more with a capital (``Ana de la Cruz``, ``Doe, J.``), or a title with at
    least one."""
    for pattern in (_NAME, _TITLED, _DOTTED):
        for one in pattern.finditer(text):
            yield one.span()


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


class _Match(NamedTuple):
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
    """Normalise a text, so that letters and digits of other widths, characters without a width, percent signs and
    entities hide nothing."""
    text = unescape(text)
    if not text.isascii():
        text = "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) != "Cf")
        text = "".join("-" if unicodedata.category(one) == "Pd" else one for one in text)
    return text


def _find(text: str, kinds: Collection[Detector]) -> list[_Match]:
    """Return the findings in order, without overlaps. Of two that overlap, the one that begins first is kept, then
    the longer one, then the one of the more certain detector, so that a value has the same hash in every process."""
    every = [one for kind in kinds for one in _FINDERS[kind](text)]
    every += _find_hidden(text, kinds)
    found: list[_Match] = []
    for one in sorted(every, key=lambda one: (one.start, -one.end, _CERTAIN.index(one.kind))):
        if not found or one.start >= found[-1].end:
            found.append(one)
    return found


def _find_hidden(text: str, kinds: Collection[Detector]) -> Iterator[_Match]:
    """Yield the encoded texts that contain findings, or that cannot be decoded."""
    if not kinds:
        return
    for start, end, plain in find_encoded(text):
        if not plain or (len(plain) < len(text) and scrub(plain, kinds, lambda kind, found: "") != plain):
            yield _Match(Detector.TEXT, start, end)


def _emails(text: str) -> Iterator[_Match]:
    if "@" in text or "at" in text.lower():
        yield from (_Match(Detector.EMAIL, *one.span()) for one in _EMAIL.finditer(text))


def _ssns(text: str) -> Iterator[_Match]:
    return (_Match(Detector.SSN, *span) for span in (*find_identifiers(text), *find_labelled(Detector.SSN, text)))


def _ibans(text: str) -> Iterator[_Match]:
    return (_Match(Detector.IBAN, *span) for span in (*find_ibans(text), *find_labelled(Detector.IBAN, text)))


def _phones(text: str) -> Iterator[_Match]:
    for pattern in _PHONES:
        for one in pattern.finditer(text):
            if sum(character.isdigit() for character in one[0]) >= _FEWEST_DIGITS:
                yield _Match(Detector.PHONE, *one.span())
    yield from (_Match(Detector.PHONE, *span) for span in find_labelled(Detector.PHONE, text))


def _names(text: str) -> Iterator[_Match]:
    return (_Match(Detector.NAME, *span) for span in (*find_names(text), *find_labelled(Detector.NAME, text)))


def _find_nothing(text: str) -> Iterator[_Match]:
    return iter(())


_FINDERS: dict[Detector, Callable[[str], Iterator[_Match]]] = {
    Detector.SSN: _ssns,
    Detector.IBAN: _ibans,
    Detector.EMAIL: _emails,
    Detector.PHONE: _phones,
    Detector.NAME: _names,
    Detector.TEXT: _find_nothing,
}


# Which names of fields say that their values are personal: ``employeeSSN``, ``home_phone``, ``first-name``.


_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PHRASES: tuple[tuple[Detector, tuple[str, ...]], ...] = (
    (Detector.SSN, ("ssn",)),
    (Detector.SSN, ("social", "security")),
    (Detector.SSN, ("national", "id")),
    (Detector.SSN, ("tax", "id")),
    (Detector.SSN, ("passport",)),
    (Detector.IBAN, ("iban",)),
    (Detector.IBAN, ("account", "number")),
    (Detector.IBAN, ("account", "no")),
    (Detector.IBAN, ("routing", "number")),
    (Detector.EMAIL, ("email",)),
    (Detector.EMAIL, ("e", "mail")),
    (Detector.PHONE, ("phone",)),
    (Detector.PHONE, ("telephone",)),
    (Detector.PHONE, ("mobile",)),
    (Detector.PHONE, ("fax",)),
    (Detector.NAME, ("surname",)),
    (Detector.NAME, ("firstname",)),
    (Detector.NAME, ("lastname",)),
    (Detector.NAME, ("fullname",)),
    *(
        (Detector.NAME, (kind, "name"))
        for kind in ("first", "last", "full", "middle", "maiden", "given", "family")
    ),
    *((Detector.NAME, (who, "name")) for who in ("employee", "customer", "person", "contact", "user", "payee")),
    (Detector.TEXT, ("address",)),
    (Detector.TEXT, ("street",)),
    (Detector.TEXT, ("comment",)),
    (Detector.TEXT, ("comments",)),
    (Detector.TEXT, ("notes",)),
)
_ALONE = {"name": Detector.NAME, "names": Detector.NAME, "tel": Detector.PHONE}
"""Names that say so only alone: ``model_name`` is nobody's."""


@lru_cache(maxsize=4096)
def kind_of(name: str) -> Detector | None:
    """Return the kind of personal data that the name of a field suggests for its values; None if it suggests none."""
    words = tuple(word.lower() for word in _NAME_WORD.findall(name))
    if len(words) == 1 and words[0] in _ALONE:
        return _ALONE[words[0]]
    for kind, phrase in _PHRASES:
        size = len(phrase)
        if any(words[at : at + size] == phrase for at in range(len(words) - size + 1)):
            return kind
    return None
