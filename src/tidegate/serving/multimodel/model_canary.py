"""A new version of one client's model, taken over step by step. Pure: events in, the next state out.

    WAITING --loaded--> CANARY --enough good answers, or time--> PROMOTED
       |                   |
       +---load failed-----+---failures, or too slow-----------> REFUSED

While it is a canary, a share of this model's requests goes to the new version, the first one at once. Whatever it
answers badly is answered by the old one, so the client sees no failure; it counts against the new version only if the
old one did better. States are final at PROMOTED and REFUSED.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class State(StrEnum):
    WAITING = "loading"
    CANARY = "canary"
    PROMOTED = "promoted"
    REFUSED = "refused"


@dataclass(frozen=True)
class Rule:
    """When a canary has shown enough. ``share`` of requests, 0 < share <= 1; times in seconds."""

    share: float = 0.1
    requests: int = 20
    bake: float = 60.0
    """After this time fewer requests than that will do, but one at least."""
    failures: int = 1
    """So many and it is refused."""
    slower: float = 3.0
    """Refused when its median time per request is more than this many times the old one's..."""
    slack: float = 0.005
    """...and more than this many seconds longer."""
    compare_from: int = 10
    """Requests of each version before their times are compared."""


@dataclass(frozen=True)
class Turnover:
    """``mark`` is the new artifact's. ``since``: when the canary began."""

    mark: str
    state: State = State.WAITING
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
        return self.state in (State.PROMOTED, State.REFUSED)


def loaded(turnover: Turnover, now: float) -> Turnover:
    return replace(turnover, state=State.CANARY, since=now) if turnover.state is State.WAITING else turnover


def failed_to_load(turnover: Turnover, why: str) -> Turnover:
    return turnover if turnover.over else replace(turnover, state=State.REFUSED, reason=why)


def next_request(turnover: Turnover, rule: Rule) -> tuple[Turnover, bool]:
    """Whether the next request is for the new version. After n requests it had ceil(share x n) of them."""
    if turnover.state is not State.CANARY:
        return turnover, False
    chosen = turnover.sent < rule.share * (turnover.asked + 1)
    return replace(turnover, asked=turnover.asked + 1, sent=turnover.sent + chosen), chosen


def answered(turnover: Turnover, rule: Rule, now: float, *, new: bool, seconds: float) -> Turnover:
    """One version answered well, in so many seconds."""
    if turnover.state is not State.CANARY:
        return turnover
    if not new:
        return replace(turnover, old_times=_kept(turnover.old_times, seconds))
    counted = replace(turnover, good=turnover.good + 1, new_times=_kept(turnover.new_times, seconds))
    slow = _too_slow(counted, rule)
    if slow:
        return replace(counted, state=State.REFUSED, reason=slow)
    return judged(counted, rule, now)


def failed(turnover: Turnover, rule: Rule, why: str) -> Turnover:
    """The new version failed where the old one did not."""
    if turnover.state is not State.CANARY:
        return turnover
    counted = replace(turnover, failures=turnover.failures + 1)
    return replace(counted, state=State.REFUSED, reason=why) if counted.failures >= rule.failures else counted


def judged(turnover: Turnover, rule: Rule, now: float) -> Turnover:
    """Promotes it once it has shown enough."""
    if turnover.state is not State.CANARY:
        return turnover
    enough = turnover.good >= rule.requests or (turnover.good and now >= turnover.since + rule.bake)
    return replace(turnover, state=State.PROMOTED) if enough else turnover


_TIMES = 31


def _kept(times: tuple[float, ...], seconds: float) -> tuple[float, ...]:
    return (*times[-_TIMES + 1 :], seconds)


def _too_slow(turnover: Turnover, rule: Rule) -> str:
    if min(len(turnover.old_times), len(turnover.new_times)) < rule.compare_from:
        return ""
    old, new = (sorted(times)[len(times) // 2] for times in (turnover.old_times, turnover.new_times))
    if new > old * rule.slower and new > old + rule.slack:
        return f"a request takes {new * 1000:.1f} ms, of the version before {old * 1000:.1f} ms"
    return ""
