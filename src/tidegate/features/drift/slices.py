"""Rows by slice: each value of some columns by itself. Pure."""

from collections.abc import Callable, Iterable, Sequence

from tidegate.rows.profile import Row, TableProfile, Value

EVERYTHING = ""
"""The slice of all rows."""
MOST_SLICES = 100
"""Slices that are looked at by themselves."""
MOST_KNOWN = 10_000
"""Slices whose names are remembered."""
OTHER = "(other)"
"""Rows of further slices."""


def slice_name(column: str, value: Value) -> str | None:
    """None: the row is in no slice."""
    if value is None:
        return None
    return f"{column}={value:g}" if isinstance(value, float) else f"{column}={value}"


class SlicedTable:
    """Profiles of all rows and of each slice. ``known``: names of slices of the baseline, of which those that it does
    not keep apart (``apart``) are counted together here, too, or left out if it keeps none; a name that is not known
    is a new slice."""

    def __init__(
        self,
        by: Sequence[str],
        empty: Callable[[], TableProfile],
        known: Iterable[str] = (),
        apart: Iterable[str] = (),
    ) -> None:
        self.by = tuple(by)
        self.names = set(known)
        self._apart = set(apart)
        self._empty = empty
        self._together = self.names - self._apart
        self._left_out = self._together if len(self._apart) <= 1 else frozenset[str]()
        self.tables = {EVERYTHING: empty()}
        self._new = 0

    def add(self, row: Row, hidden: frozenset[str] = frozenset()) -> None:
        """``hidden``: columns that are there for slices alone."""
        whole = {name: value for name, value in row.items() if name not in hidden} if hidden else row
        self.tables[EVERYTHING].add(whole)
        for column in self.by:
            name = slice_name(column, row.get(column))
            if name is None or name in self._left_out:
                continue
            if len(self.names) < MOST_KNOWN:
                self.names.add(name)
            if (
                name not in self.tables
                and name not in self._apart
                and (name in self._together or self._new >= MOST_SLICES)
            ):
                name = f"{column}={OTHER}"
            if name not in self.tables:
                self._new += name not in self._apart
                self.tables[name] = self._empty()
            self.tables[name].add({key: value for key, value in whole.items() if key != column})
