"""Lines that explain a rollback; apart, since most commands show none and need no msgspec."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.evidence import Explanation


def read_lines(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Read the name and the text of each line from an explanation in a status document."""
    return msgspec.convert(document, prepare_type(Explanation)).lines
