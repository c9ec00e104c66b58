"""How long a block of requests lasts. Pure.

Blocks are short after a shift, when most is at stake, and longer later, so that there are not too many. After one in
which a difference stands out they are short again: a test of shares needs blocks, and not requests. What a block is
to be follows from those before it alone, so the bound on false rollbacks does not depend on it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tidegate.domain.evidence import Counts

LATEST_WIDTHS = ((300, 1), (1800, 5), (10_800, 30))
"""Age of a stage in seconds below which a block has this width; later ones have ``LAST_WIDTH``."""
LAST_WIDTH = 300
DEVIATIONS = 4.0
"""By which a difference beyond the tolerance stands out: seldom by chance, if requests are independent."""
NARROWER, NARROWED = 10, 60
"""By how much blocks are narrower after one that stands out, and for how many blocks."""
MOST_NARROW = 600
"""Blocks of a stage that may be narrower than their age says."""


def block_width(stage_age: float) -> int:
    """Seconds of a block that begins at this age of its stage, if nothing stood out."""
    return next((width for age, width in LATEST_WIDTHS if stage_age < age), LAST_WIDTH)


def stands_out(counts: Counts, tolerance: float) -> bool:
    """Whether the difference of the two shares in a block is far above the tolerance."""
    old_n, old_k, new_n, new_k = counts
    if not old_n or not new_n:
        return False
    share = (old_k + new_k + 1) / (old_n + new_n + 2)
    spread = math.sqrt(share * (1 - share) * (1 / old_n + 1 / new_n))
    return new_k / new_n - old_k / old_n - tolerance > DEVIATIONS * spread


@dataclass(frozen=True)
class BlockWidths:
    """``divisor``: of the width that the age says; ``left``: blocks until it is that again; ``used``: narrower ones
    of this stage."""

    stage: int = 0
    divisor: int = 1
    left: int = 0
    used: int = 0

    def width(self, stage: int, stage_age: float) -> int:
        """Seconds of the block that begins now."""
        usual = block_width(stage_age)
        return usual if stage != self.stage or not self.left else max(1, usual // self.divisor)

    def after(self, stage: int, seen: Iterable[tuple[Counts, float]]) -> "BlockWidths":
        """After a block. ``seen``: its counts, with the tolerance of each."""
        before = self if stage == self.stage else BlockWidths(stage)
        after = before
        if before.left:
            after = replace(before, left=before.left - 1, used=before.used + 1)
        if after.used >= MOST_NARROW:
            return replace(after, divisor=1, left=0)
        if any(stands_out(counts, tolerance) for counts, tolerance in seen):
            divisor = (after.divisor if after.left else 1) * NARROWER
            return replace(after, divisor=min(divisor, LAST_WIDTH), left=NARROWED)
        return after if after.left else replace(after, divisor=1)
