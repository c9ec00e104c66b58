"""Names of people, by rule: what is written as a name is, and what follows a title. There is no list of names, so the
rules find more than names (New York) and not every name (a first name alone, or all in small letters)."""

import re
from collections.abc import Iterator

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
