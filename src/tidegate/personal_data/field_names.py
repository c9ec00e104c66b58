"""Which names of fields say that their values are personal: ``employeeSSN``, ``home_phone``, ``first-name``."""

import re
from functools import lru_cache

from tidegate.domain.capture import Detector

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
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
    words = tuple(word.lower() for word in _WORD.findall(name))
    if len(words) == 1 and words[0] in _ALONE:
        return _ALONE[words[0]]
    for kind, phrase in _PHRASES:
        size = len(phrase)
        if any(words[at : at + size] == phrase for at in range(len(words) - size + 1)):
            return kind
    return None
