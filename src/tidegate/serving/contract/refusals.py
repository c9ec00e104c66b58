"""Phrases by which an answer is taken for a refusal: the usual ones, or those of a model's environment. Pure."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid

VARIABLE = "TEXT_REFUSALS"
"""Variable of a model's environment: a JSON list of phrases in the place of ``REFUSALS``."""
REFUSALS = (
    "i can't assist",
    "i cannot assist",
    "i can't help with",
    "i cannot help with",
    "i can't provide",
    "i cannot provide",
    "i can't comply",
    "i cannot comply",
    "i can't fulfill",
    "i cannot fulfill",
    "i'm not able to",
    "i am not able to",
    "i'm unable to",
    "i am unable to",
    "i won't be able to",
    "i must decline",
    "as an ai language model",
    "against my guidelines",
)
MOST_PHRASES = 100
LONGEST_PHRASE = 200
_PLAIN = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u00b4": "'", "`": "'"})


@dataclass(frozen=True)
class Phrases:
    """Phrases that make an answer a refusal, normalised. ``key``: equal for equal lists."""

    phrases: tuple[str, ...]
    key: int


def read_phrases(environment: Mapping[str, str]) -> Phrases:
    """Those of a model. Raises Invalid."""
    text = environment.get(VARIABLE)
    if text is None:
        return _phrases(REFUSALS)
    try:
        found = msgspec.json.decode(text, type=prepare_type(list[str]))
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise Invalid(f'environment variable {VARIABLE} must be a JSON list of phrases, such as ["no"]') from None
    usual = [normalise(one).strip() for one in found]
    if len(usual) > MOST_PHRASES or not all(0 < len(one) <= LONGEST_PHRASE for one in usual):
        raise Invalid(
            f"environment variable {VARIABLE} must have at most {MOST_PHRASES} phrases of 1 to {LONGEST_PHRASE}"
            " characters"
        )
    return _phrases(usual)


def _phrases(given: Sequence[str]) -> Phrases:
    phrases = tuple(sorted(set(given)))
    return Phrases(phrases, crc32("\n".join(phrases).encode("utf-8", "replace")))


def normalise(text: str) -> str:
    """One form of equal texts: of case, of Unicode, of apostrophes and of spaces, without invisible characters."""
    whole = unicodedata.normalize("NFKC", text).casefold().translate(_PLAIN)
    seen = "".join(one for one in whole if unicodedata.category(one) != "Cf")
    return " ".join(seen.split())
