"""Where the servers of a multi-model fleet stand on the ring that spreads models over them. Pure.

HAProxy puts a server on the ring by its number, and its order in the file makes that number where none is given.
So each server has a number that is written down: a reload moves no model, one more server takes its part from all
others, and one that replaces a dead one takes the dead one's number and with it exactly its models.
"""

from collections.abc import Iterable, Mapping
from itertools import count


def assign_numbers(names: Iterable[str], known: Mapping[str, int], present: Mapping[str, int]) -> dict[str, int]:
    """A number for each server: what it has (``known`` from the state, ``present`` in HAProxy), else the lowest
    that is free. One that is still being drained has its number until it is gone."""
    wanted = list(names)
    numbers = {name: number for name in wanted if (number := known.get(name, present.get(name))) is not None}
    free = (number for number in count(1) if number not in {*present.values(), *numbers.values()})
    return {name: numbers[name] if name in numbers else next(free) for name in wanted}
