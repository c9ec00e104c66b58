"""The scores of two versions for the same rows, and the slices of those rows. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tidegate.rows.profile import Row

OTHERS = "(others)"
"""Rows of slices that are too small to be judged by themselves."""
UNNAMED = "(no value)"


@dataclass(frozen=True)
class ScoredRows:
    """Scores of both versions, row by row, with what is known of the rows. ``slices``: None without ``--by``."""

    old: Sequence[float]
    new: Sequence[float]
    labels: Sequence[float | None]
    rows: Sequence[Row]
    slices: Sequence[str | None] | None = None
    labelled: bool = False
    """Whether labels were asked for."""


def group_slices(
    slices: Sequence[str | None] | None, fewest: int, most: int | None = None
) -> Iterator[tuple[str, list[int]]]:
    """Yield the places of the rows of each slice, the largest first. Slices of fewer rows than ``fewest``, and those
    beyond ``most``, come last, together, however few rows they have."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(slices or ()):
        places.setdefault(UNNAMED if name is None else name, []).append(place)
    ordered = sorted(places.items(), key=lambda one: (-len(one[1]), one[0]))
    large = dict([one for one in ordered if len(one[1]) >= fewest][:most])
    yield from large.items()
    rest = sorted(place for name, found in places.items() if name not in large for place in found)
    if rest:
        yield OTHERS if OTHERS not in large else f"{OTHERS} ", rest
