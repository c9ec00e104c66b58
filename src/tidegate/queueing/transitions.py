"""What happens to an item next. Pure: (item, what was seen, now) -> what to do."""

from dataclasses import dataclass, replace
from enum import StrEnum

from tidegate.domain.asynchronous import Item, ItemOutcome, ItemState, LeasedItem, OutcomeKind

LEASE = 10.0
"""Seconds that a dispatcher holds an item without a sign of life."""
MOST_LOSSES = 10
"""Deaths of an instance or a dispatcher under an item, after which it is taken for the cause of them."""
PAUSE, LONGEST_PAUSE = 0.25, 30.0
"""Seconds before the next try; doubled with each, up to the longest."""


class Fault(StrEnum):
    """Why a try gave no answer."""

    MODEL = "model"
    """The model said no: an answer of 4xx."""
    SHAKY = "shaky"
    """The model said 5xx, or nothing in time."""
    LOST = "lost"
    """The instance died under it."""
    BUSY = "busy"
    """Nobody took it: no instance is ready, or all are full."""
    INPUT = "input"
    """The input cannot be had, and will not be."""
    WORLD = "world"
    """Storage or network did not do their part; they may the next time."""


@dataclass(frozen=True)
class Answered:
    content_type: str
    shown: str | None = None


@dataclass(frozen=True)
class Wrong:
    fault: Fault
    reason: str


@dataclass(frozen=True)
class Begin:
    """Hand it to the model. ``look`` first whether an earlier try left its output."""

    look: bool


@dataclass(frozen=True)
class Finish:
    """Record the outcome, then put the failure where it is one (an answer is put already), then tell."""

    outcome: ItemOutcome


@dataclass(frozen=True)
class Tell:
    """The outcome is recorded: put the failure where it is one, and send the notifications. Both may be repeated."""

    outcome: ItemOutcome


@dataclass(frozen=True)
class Again:
    """Back into the queue until ``due_at``."""

    held: LeasedItem
    due_at: float


def first(held: LeasedItem, there: bool, now: float) -> Begin | Finish | Tell:
    """What to do with an item that was just leased; ``there``: its endpoint exists."""
    if held.state is ItemState.NOTIFYING:
        assert held.outcome is not None
        return Tell(held.outcome)
    if not there:
        return Finish(ItemOutcome(OutcomeKind.FAILED, now, f"Endpoint {held.item.endpoint} is gone."))
    if held.losses >= MOST_LOSSES:
        reason = f"The instance or the dispatcher that worked on it died {held.losses} times."
        return Finish(ItemOutcome(OutcomeKind.FAILED, now, reason))
    return Begin(look=held.fence > 1 and not held.item.named)


def after(held: LeasedItem, result: Answered | Wrong, now: float) -> Finish | Again:
    """What follows on a try."""
    if isinstance(result, Answered):
        return Finish(
            ItemOutcome(OutcomeKind.COMPLETED, now, content_type=result.content_type, shown=result.shown)
        )
    tries, losses = held.tries, held.losses
    failed = Finish(ItemOutcome(OutcomeKind.FAILED, now, result.reason))
    match result.fault:
        case Fault.MODEL | Fault.INPUT:
            return failed
        case Fault.SHAKY:
            tries += 1
            if tries > held.item.retries:
                return failed
        case Fault.LOST:
            losses += 1
            if losses >= MOST_LOSSES:
                return failed
        case Fault.WORLD:
            if now - held.begun_at > held.item.timeout + held.item.expires_at - held.item.accepted_at:
                return failed
        case Fault.BUSY:
            if now >= held.item.expires_at:
                return Finish(expired(held.item, now))
    pause = min(LONGEST_PAUSE, PAUSE * 2 ** min(held.fence - 1, 7))
    return Again(replace(held, tries=tries, losses=losses), now + pause)


def taken(held: LeasedItem, now: float) -> LeasedItem:
    """The item as its next holder gets it; ``held`` is how the one before left it.

    What has waited for too long gets its end here, with the lease itself, so that a dispatcher which dies over it
    leaves no doubt. That is only done to what was never handed out, or an output that a dead dispatcher left could be
    followed by word of a failure."""
    following = replace(held, fence=held.fence + 1, begun_at=held.begun_at or now)
    if held.state is ItemState.WAITING:
        if held.fence == 0 and now >= held.item.expires_at:
            return replace(following, state=ItemState.NOTIFYING, outcome=expired(held.item, now))
        return replace(following, state=ItemState.WORKING)
    return replace(following, losses=held.losses + 1) if held.state is ItemState.WORKING else following


def expired(item: Item, now: float) -> ItemOutcome:
    waited = item.expires_at - item.accepted_at
    return ItemOutcome(OutcomeKind.EXPIRED, now, f"The request waited in the queue for longer than {waited:g} s.")
