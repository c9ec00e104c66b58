"""Names of people, by rule: what is written as a name is, and what follows a title. There is no list of names, so the
rules find more than names (New York) and not every name (a first name alone, or all in small letters)."""

import re
from collections.abc import Iterator

_PARTICLES = "van|von|der|den|de|da|di|do|dos|del|la|le|bin|al|el"
_WORD = r"[^\W\d_a-z][^\W\d_]*(?:['’.\-][^\W\d_]*)*"
"""A word with a capital, or in a script that has none."""
_NAME = re.compile(rf"(?<![^\W\d_]){_WORD}(?:,?\s+(?:(?:{_PARTICLES})\s+){{0,3}}{_WORD}){{1,4}}")
_TITLED = re.compile(
    rf"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Mme|Mlle|Señor|Señora)\.?\s+{_WORD}(?:\s+{_WORD}){{0,2}}"
)


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each: two words or more with a capital (``Ana de la Cruz``, ``Doe, J.``), or a title with at
    least one."""
    for pattern in (_NAME, _TITLED):
        for one in pattern.finditer(text):
            yield one.span()
