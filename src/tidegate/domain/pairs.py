"""Requests that both versions of a rollout answered: their predictions, and what their stages made of them, and
which requests were copied or counted."""

from dataclasses import dataclass, field

Value = float | str | None
"""One column of a request: a number, a category, or missing."""


@dataclass(frozen=True)
class FeatureRow:
    """The first row of a stage's output, of both versions. Of columns without names, ``names`` are their numbers."""

    stage: str
    names: tuple[str, ...]
    old: tuple[Value, ...]
    new_names: tuple[str, ...]
    new: tuple[Value, ...]


@dataclass(frozen=True)
class Pair:
    """A request that both versions were given. A prediction is None if that version's answer has no finite number, or
    there is no answer."""

    old: float | None
    new: float | None
    key: int = 0
    """Equal for equal requests; 0: unknown."""
    slices: tuple[tuple[str, str], ...] = ()
    """Column and value, of the first row."""
    failed: bool = False
    """The new version's model failed the request."""
    traced: bool = False
    """The outputs of the stages were asked for."""
    features: tuple[FeatureRow, ...] = ()
    """Of each stage but the last one; empty where they are not known."""
    old_failed: bool = False
    """The old version's model failed the request."""
    lost: bool = False
    """The new version was asked, and nothing is known of what it did."""
    rows: tuple["PairedRow", ...] = ()
    """The numbers of both answers, where they have more than one: those of the first row, of some between, and of the
    last one."""
    texts: tuple[str, str, str] | None = None
    """The request and the answers of the old and of the new version, where they are text that is to be judged."""
    request: str = ""
    """Its body as data capture writes it, of those in which the versions differ most; empty: it is not known."""
    row_slices: tuple[tuple[tuple[str, str], ...], ...] = ()
    """The slices of each row of ``rows``; of a request without answers those of some rows. Empty: only those of the
    first row are known."""

    @property
    def paired_rows(self) -> tuple["PairedRow", ...]:
        return self.rows or (((0, self.old, self.new),),)


PairedRow = tuple[tuple[int, float | None, float | None], ...]
"""The numbers of one row: output (its place in the row, from 0), old and new value."""


# --- remembers which requests were copied or counted, in bounded memory ---


MOST_KEYS = 50_000


@dataclass
class KnownKeys:
    """The newest ones are remembered, ``most`` of them."""

    most: int = MOST_KEYS
    _keys: dict[int, None] = field(default_factory=dict)

    def add(self, key: int) -> bool:
        """Whether the key is new. 0 is an unknown key, which always is."""
        if not key:
            return True
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self.most:
            del self._keys[next(iter(self._keys))]
        return True

    def forget(self, key: int) -> None:
        self._keys.pop(key, None)

    def __contains__(self, key: int) -> bool:
        return key in self._keys
