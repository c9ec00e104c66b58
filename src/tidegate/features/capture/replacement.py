"""What takes the place of a personal value: nothing, a word, or a keyed hash."""

import hmac
import unicodedata

from tidegate.domain.capture import Detector, Redacted

MASK = "[redacted]"
PREFIX = "hash:"
_BYTES = 16
"""Of a hash: two of 10^18 values are equal by chance with a probability of 10^-3."""


class Replacer:
    """``key`` None: what is to be hashed is masked."""

    def __init__(self, key: bytes | None) -> None:
        self._key = key

    def found(self, kind: Detector, text: str) -> str:
        """For what a detector found. Sentences are masked always: no two would be equal."""
        if kind is Detector.TEXT or self._key is None:
            return f"[{kind}]"
        return self.hash(kind, text)

    def named(self, action: Redacted, kind: Detector | None, text: str) -> str | None:
        """For the value of a field that a rule names. None: nothing is left of it."""
        if action is Redacted.DROP:
            return None
        if action is Redacted.HASH and self._key is not None:
            return self.hash(kind, text)
        return MASK

    def hash(self, kind: Detector | None, text: str) -> str:
        """Equal for values that say the same: an IBAN with and without spaces, an address in capitals."""
        assert self._key is not None
        digest = hmac.digest(self._key, normalise(kind, text).encode("utf-8", "surrogatepass"), "sha256")
        return PREFIX + digest[:_BYTES].hex()


def normalise(kind: Detector | None, text: str) -> str:
    """The form of a value that is hashed."""
    text = unicodedata.normalize("NFKC", text).strip()
    if kind is Detector.SSN:
        return "".join(one for one in text if one.isalnum()).upper()
    if kind is Detector.IBAN:
        return "".join(one for one in text if one.isalnum()).upper()
    if kind is Detector.EMAIL:
        return text.casefold()
    if kind is Detector.PHONE:
        digits = "".join(one for one in text if one.isdigit())
        return digits.removeprefix("00") if not text.startswith("+") else digits
    if kind is Detector.NAME:
        return " ".join(text.casefold().split())
    return text
