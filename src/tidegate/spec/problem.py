"""What is wrong with a spec, and where in it."""

from collections.abc import Iterable
from difflib import get_close_matches

from tidegate.domain.errors import Invalid

KeyPath = tuple[str | int, ...]
"""Where a value stands: ("variants", 0, "model", "image")."""


class SpecError(Invalid):
    """``path`` lets a reader that knows line numbers say where; the message stands without them. ``shown`` is
    the path that the message names, where another one says it better."""

    def __init__(self, path: KeyPath, what: str, shown: KeyPath | None = None) -> None:
        self.path = path
        named = format_path(path if shown is None else shown)
        super().__init__(f"{named}: {what}" if named else what)


def format_path(path: KeyPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def suggest(word: str, known: Iterable[str]) -> str:
    """``, did you mean 'x'?`` when one of ``known`` is close, else the list of what there is."""
    names = sorted(known)
    close = get_close_matches(word.lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    if close:
        name = next(name for name in names if name.lower() == close[0])
        return f", did you mean {name!r}?"
    return f", expected one of {', '.join(names)}" if names else ""
