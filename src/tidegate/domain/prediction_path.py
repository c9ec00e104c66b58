"""Paths such as ``$.scores[0]``, which say where the prediction is in a JSON answer. Pure."""

import re
from dataclasses import dataclass
from functools import lru_cache

from tidegate.domain.errors import Invalid

_STEP = re.compile(r"""\.([^\s.\[\]'"*]+)|\[(\d{1,9})\]|\[(\*)\]|\['([^']+)'\]|\["([^"]+)"\]""")
Step = str | int
"""A key, or an index."""


@dataclass(frozen=True)
class PredictionPath:
    """A path from the root of an answer: keys (``.scores``, ``['a key']``), indices (``[0]``) and all items of a list
    (``[*]``), which are rows."""

    steps: tuple[Step | None, ...]
    """None: all items."""

    @property
    def many(self) -> bool:
        """Whether it may lead to several places."""
        return None in self.steps

    def find(self, data: object) -> list[object]:
        """Return what is at the path, in order; nothing if it leads nowhere."""
        found = [data]
        for step in self.steps:
            found = [next_one for one in found for next_one in _follow(one, step)]
        return found


def _follow(data: object, step: Step | None) -> list[object]:
    if isinstance(data, list):
        if step is None:
            return data
        return [data[step]] if isinstance(step, int) and step < len(data) else []
    return [data[step]] if isinstance(data, dict) and isinstance(step, str) and step in data else []


@lru_cache(maxsize=256)
def parse_path(text: str) -> PredictionPath:
    """Raises Invalid."""
    steps: list[Step | None] = []
    at = 1
    while text.startswith("$") and (found := _STEP.match(text, at)) is not None:
        name, index, each, single, double = found.groups()
        steps.append(None if each else int(index) if index else name or single or double)
        at = found.end()
    if not text.startswith("$") or at != len(text):
        raise Invalid(f"{text!r} is no path of a prediction: expected one such as $.scores[0] or $.rows[*].score")
    return PredictionPath(tuple(steps))
