"""Names of people, by rule: what is written as a name is, and what follows a title. There is no list of names, so the
rules find more than names (New York) and not every name (a first name alone)."""

import re
from collections.abc import Iterator

_PARTICLES = frozenset(
    ["van", "von", "der", "den", "de", "da", "di", "do", "dos", "del", "la", "le", "bin", "al", "el"]
)
_MOST_WORDS = 5
_CAPITALISED = r"[^\W\d_a-z][^\W\d_]*(?:['’.\-][^\W\d_]*)*"
_TITLED = re.compile(
    rf"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Mme|Mlle|Señor|Señora)\.?\s+({_CAPITALISED}(?:\s+{_CAPITALISED}){{0,2}})"
)


def is_name(text: str) -> bool:
    """Whether all of it reads like a name: two words or more with a capital (``Ana de la Cruz``, ``Doe, J.``)."""
    words = text.replace(",", " ").split()
    if not 2 <= len(words) <= _MOST_WORDS:
        return False
    capitals = 0
    for word in words:
        bare = word.translate(_JOINERS)
        if not bare.isalpha():
            return False
        if not bare[0].islower():  # a capital, or a letter of a script that has none
            capitals += 1
        elif bare not in _PARTICLES:
            return False
    return capitals >= 2


_JOINERS = str.maketrans("", "", "'’-.")


def find_titled(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each name that follows a title."""
    return (one.span(1) for one in _TITLED.finditer(text))
