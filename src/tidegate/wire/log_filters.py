"""Filter patterns of CloudWatch Logs, as far as they are words: which lines they keep."""

import re
from collections.abc import Callable

from tidegate.domain.errors import Invalid

_WORD = re.compile(r'([?-]?)(?:"([^"]*)"|([^\s"]+))(?=\s|$)\s*')


def compile_filter(pattern: str) -> Callable[[str], bool]:
    """Keeps a line that has all words of the pattern, none of those with ``-`` before them, and one at least of those
    with ``?``; the case counts, and quotes hold words together. Raises Invalid for a pattern of another kind."""
    text = pattern.strip()
    if text[:1] in ("{", "[", "%"):
        raise Invalid(f"filterPattern {pattern!r} is of a kind that is not served: give words, or leave it out")
    words: dict[str, list[str]] = {"": [], "-": [], "?": []}
    at = 0
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None:
            raise Invalid(f"filterPattern {pattern!r} cannot be read: give words, with quotes in pairs")
        words[found[1]].append(found[2] if found[2] is not None else found[3])
        at = found.end()

    def keeps(line: str) -> bool:
        return (
            all(word in line for word in words[""])
            and not any(word in line for word in words["-"])
            and (not words["?"] or any(word in line for word in words["?"]))
        )

    return keeps
