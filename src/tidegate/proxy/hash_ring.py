"""Positions of a multi-model fleet's servers on the consistent-hash ring. Pure.

HAProxy places a server by its number, which defaults to its position in the file. tidegate records each server's
number instead, so a reload moves no model, an additional server takes an equal part from all others, and a
replacement takes the dead server's number and with it exactly its models.
"""

from collections.abc import Iterable, Mapping
from itertools import count


def assign_numbers(names: Iterable[str], known: Mapping[str, int], present: Mapping[str, int]) -> dict[str, int]:
    """Assign a number to each server: its present one (``known`` from the state, ``present`` in HAProxy), else the
    lowest free one. A draining server keeps its number until it is removed."""
    wanted = list(names)
    numbers = {name: number for name in wanted if (number := known.get(name, present.get(name))) is not None}
    free = (number for number in count(1) if number not in {*present.values(), *numbers.values()})
    return {name: numbers[name] if name in numbers else next(free) for name in wanted}
