"""How many replicas a serverless fleet should have, decided from repeated looks at the demand. Pure.

The first replica is wanted at once. A further one is wanted when there has been more to do than the present ones may
take for a moment: a burst of short requests is over by then, served by the first. A replica goes when it has not
been needed for the idle time.
"""

from dataclasses import dataclass

from tidegate.domain.fleet import Serverless

GROW_AFTER = 0.1
"""Seconds."""


@dataclass(frozen=True)
class ScalingMemory:
    """State that is kept between two scaling decisions. ``needed``: of the first, the second, ... replica, when it
    was needed last. ``short_since``: since when the demand is for more."""

    needed: tuple[float, ...] = ()
    short_since: float | None = None

    @property
    def wanted(self) -> int:
        """The number of replicas needed: those that are always there, and those beyond them."""
        return len(self.needed)


def decide(before: ScalingMemory, in_hand: int, bounds: Serverless, now: float) -> ScalingMemory:
    """Return the state to keep from ``now`` on (seconds of a monotonic clock). ``in_hand``: requests being served or
    waiting."""
    need = max(bounds.least, min(bounds.most, -(-in_hand // bounds.per_instance)))
    kept = tuple(at for at in before.needed if now - at < bounds.idle_after)[: bounds.most]
    have, since = max(len(kept), bounds.least, 1), before.short_since
    if need <= have:
        since = None
    elif since is None or now - since < GROW_AFTER:
        since, need = now if since is None else since, have
    else:
        since = None
    return ScalingMemory((now,) * need + kept[need:], since)


def shares(bounds: Serverless, replicas: int) -> list[int]:
    """How many requests each of so many replicas may have at a time: at least one, and together no more than are
    allowed."""
    total = min(bounds.max_concurrency, replicas * bounds.per_instance)
    each, left = divmod(total, max(1, replicas))
    return [max(1, each + (number < left)) for number in range(replicas)]
