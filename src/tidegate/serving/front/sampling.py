"""A sample of what a worker answers, which does not depend on what is in the answers."""


class Sampler:
    """Takes ``wanted`` of a second, spread over it by the number of the second before; at most ``most``, where it has
    more than that one."""

    def __init__(self, wanted: int, most: int) -> None:
        self._wanted, self._most = wanted, most
        self._second = self._seen = self._taken = 0
        self._stride = 1

    def take(self, at: int) -> bool:
        """Whether the next one, at this moment (epoch microseconds), is sampled."""
        second = at // 1_000_000
        if second != self._second:
            self._stride = max(1, self._seen // self._wanted)
            self._second, self._seen, self._taken = second, 0, 0
        self._seen += 1
        if self._seen % self._stride or self._taken >= self._most:
            return False
        self._taken += 1
        return True
