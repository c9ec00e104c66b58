"""Suggestions of what somebody may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def suggest(word: str, known: Iterable[str]) -> str:
    """``, did you mean 'x'?`` if one of ``known`` is similar, otherwise a list of all."""
    names = sorted(known)
    close = get_close_matches(word.lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    if close:
        name = next(name for name in names if name.lower() == close[0])
        return f", did you mean {name!r}?"
    return f", expected one of {', '.join(names)}" if names else ""
