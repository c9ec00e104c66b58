"""Remembers which requests were copied or counted, in bounded memory."""

from dataclasses import dataclass, field

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
