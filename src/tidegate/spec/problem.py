"""Errors of a spec, with their place."""

from tidegate.domain.errors import Invalid
from tidegate.domain.suggestions import suggest as suggest

KeyPath = tuple[str | int, ...]
"""Place of a value: ("variants", 0, "model", "image")."""


class SpecError(Invalid):
    """``path`` lets a caller that knows line numbers add one; the message is complete without. ``shown``: path in the
    message, if a different one is clearer."""

    def __init__(self, path: KeyPath, what: str, shown: KeyPath | None = None) -> None:
        self.path = path
        named = format_path(path if shown is None else shown)
        super().__init__(f"{named}: {what}" if named else what)


def format_path(path: KeyPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
