"""Values that a word before them calls personal: ``SSN: 123456789``, ``<name>jane doe</name>``, ``tel=5551234567``.

Alone such a value would be a plain number or any word."""

import re
from collections.abc import Iterator
from functools import cache

from tidegate.domain.capture import Detector

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


def _spaced(words: str) -> str:
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
        return re.compile(rf"{_LABEL}(?:{_spaced(_NAME_WORDS)}){link}(?P<value>{value})", re.IGNORECASE)
    if kind not in _WORDS:
        return None
    words = _spaced(_WORDS[kind])
    return re.compile(rf"{_LABEL}(?:{words}){_LINK}(?P<value>{_VALUE})", re.ASCII | re.IGNORECASE)


def find_labelled(kind: Detector, text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each value of this kind."""
    form = _form(kind)
    return iter(()) if form is None else (one.span("value") for one in form.finditer(text))
