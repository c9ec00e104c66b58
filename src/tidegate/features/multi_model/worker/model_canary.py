"""The canary of a new version of one model. Pure: events in, the next state out.

    WAITING --loaded--> CANARY --enough good answers, or time--> PROMOTED
       |                   |
       +---load failed-----+---failures, or too slow-----------> REFUSED

During the canary a share of this model's requests goes to the new version, beginning with the first one. The old
version answers a request that the new one fails at, so the client sees no failure; it counts as a failure of the new
version only if the old one succeeds. PROMOTED and REFUSED are final.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class CanaryState(StrEnum):
    WAITING = "loading"
    CANARY = "canary"
    PROMOTED = "promoted"
    REFUSED = "refused"


@dataclass(frozen=True)
class Rule:
    """The criteria of a canary. ``share`` of requests, 0 < share <= 1; times in seconds."""

    share: float = 0.1
    requests: int = 20
    bake: float = 60.0
    """After this time fewer requests are enough, but at least one."""
    failures: int = 1
    """Number of failures at which it is refused."""
    slower: float = 3.0
    """Refused when its median time per request is more than this many times the old one's..."""
    slack: float = 0.005
    """...and more than this many seconds longer."""
    compare_from: int = 10
    """Requests of each version before their times are compared."""


@dataclass(frozen=True)
class ModelCanary:
    """``mark`` is the new artifact's. ``since``: when the canary began."""

    mark: str
    state: CanaryState = CanaryState.WAITING
    since: float = 0.0
    asked: int = 0
    """Requests of this model since then, of both versions."""
    sent: int = 0
    """Of those, requests given to the new version."""
    good: int = 0
    failures: int = 0
    old_times: tuple[float, ...] = ()
    new_times: tuple[float, ...] = ()
    reason: str = ""

    @property
    def over(self) -> bool:
        return self.state in (CanaryState.PROMOTED, CanaryState.REFUSED)


def start(canary: ModelCanary, now: float) -> ModelCanary:
    return replace(canary, state=CanaryState.CANARY, since=now) if canary.state is CanaryState.WAITING else canary


def refuse_load(canary: ModelCanary, why: str) -> ModelCanary:
    return canary if canary.over else replace(canary, state=CanaryState.REFUSED, reason=why)


def next_request(canary: ModelCanary, rule: Rule) -> tuple[ModelCanary, bool]:
    """Whether the next request is for the new version. After n requests it had ceil(share x n) of them."""
    if canary.state is not CanaryState.CANARY:
        return canary, False
    chosen = canary.sent < rule.share * (canary.asked + 1)
    return replace(canary, asked=canary.asked + 1, sent=canary.sent + chosen), chosen


def count_answer(canary: ModelCanary, rule: Rule, now: float, *, new: bool, seconds: float) -> ModelCanary:
    """One version answered well, in so many seconds."""
    if canary.state is not CanaryState.CANARY:
        return canary
    if not new:
        return replace(canary, old_times=_append_time(canary.old_times, seconds))
    counted = replace(canary, good=canary.good + 1, new_times=_append_time(canary.new_times, seconds))
    slow = _too_slow(counted, rule)
    if slow:
        return replace(counted, state=CanaryState.REFUSED, reason=slow)
    return judge(counted, rule, now)


def count_failure(canary: ModelCanary, rule: Rule, why: str) -> ModelCanary:
    """The new version failed where the old one did not."""
    if canary.state is not CanaryState.CANARY:
        return canary
    counted = replace(canary, failures=canary.failures + 1)
    return (
        replace(counted, state=CanaryState.REFUSED, reason=why) if counted.failures >= rule.failures else counted
    )


def judge(canary: ModelCanary, rule: Rule, now: float) -> ModelCanary:
    """Promotes it once it has shown enough."""
    if canary.state is not CanaryState.CANARY:
        return canary
    enough = canary.good >= rule.requests or (canary.good and now >= canary.since + rule.bake)
    return replace(canary, state=CanaryState.PROMOTED) if enough else canary


_TIMES = 31


def _append_time(times: tuple[float, ...], seconds: float) -> tuple[float, ...]:
    return (*times[-_TIMES + 1 :], seconds)


def _too_slow(canary: ModelCanary, rule: Rule) -> str:
    if min(len(canary.old_times), len(canary.new_times)) < rule.compare_from:
        return ""
    old, new = (sorted(times)[len(times) // 2] for times in (canary.old_times, canary.new_times))
    if new > old * rule.slower and new > old + rule.slack:
        return f"a request takes {new * 1000:.1f} ms, of the version before {old * 1000:.1f} ms"
    return ""
