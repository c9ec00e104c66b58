"""A sample of what a worker answers, which does not depend on what is in the answers."""

import random

from tidegate.domain.traffic import WHOLE


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


class EvenSampler:
    """Samples a share of the requests evenly: of the first n it takes n times the share, to within 1. It takes one of
    each 1/share requests, at a position drawn with ``seed``, so that periodic traffic is neither missed nor all that
    is sampled."""

    def __init__(self, share: int, seed: int) -> None:
        self.share = share
        """Basis points."""
        self._drawn = random.Random(seed)
        self._at = 0
        self._place = self._draw()

    def take(self) -> bool:
        if self.share == WHOLE:
            return True
        self._at += self.share
        if self._at <= self._place:
            return False
        self._at -= WHOLE
        self._place = self._draw()
        return True

    def _draw(self) -> int:
        return int(self._drawn.random() * WHOLE)
