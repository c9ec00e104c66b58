"""The word patterns among CloudWatch Logs' filter patterns."""

import re
from collections.abc import Callable

from tidegate.domain.errors import Invalid

_WORD = re.compile(r'([?-]?)(?:"([^"]*)"|([^\s"]+))(?=\s|$)\s*')


def compile_filter(pattern: str) -> Callable[[str], bool]:
    """Compile a filter that keeps a line if it has all plain words of the pattern, none of the words marked ``-``,
    and at least one of those marked ``?``. Case-sensitive; quotes group words. Raises Invalid for other kinds of
    pattern."""
    text = pattern.strip()
    if text[:1] in ("{", "[", "%"):
        raise Invalid(f"filterPattern {pattern!r} is not supported: use a pattern of words, or leave it out")
    words: dict[str, list[str]] = {"": [], "-": [], "?": []}
    at = 0
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None:
            raise Invalid(f"filterPattern {pattern!r} is invalid: expected words, with balanced quotes")
        words[found[1]].append(found[2] if found[2] is not None else found[3])
        at = found.end()

    def keeps(line: str) -> bool:
        return (
            all(word in line for word in words[""])
            and not any(word in line for word in words["-"])
            and (not words["?"] or any(word in line for word in words["?"]))
        )

    return keeps
