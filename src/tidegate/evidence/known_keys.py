"""Remembers which requests were counted, in bounded memory."""

from dataclasses import dataclass, field

MOST_KEYS = 50_000


@dataclass
class KnownKeys:
    _keys: dict[int, None] = field(default_factory=dict)

    def add(self, key: int) -> bool:
        """Whether the key is new. 0 is an unknown key, which always is."""
        if not key:
            return True
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > MOST_KEYS:
            del self._keys[next(iter(self._keys))]
        return True
