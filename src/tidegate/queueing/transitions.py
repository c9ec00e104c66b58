"""The state machine of an item. Pure: (item, observation, now) -> what to do next."""

from dataclasses import dataclass, replace
from enum import StrEnum

from tidegate.domain.asynchronous import Item, ItemOutcome, ItemState, LeasedItem, OutcomeKind

LEASE = 10.0
"""Seconds for which a dispatcher holds an item without renewing its lease."""
MAX_LOSSES = 10
"""Deaths of an instance or a dispatcher while it processed an item, after which the item is taken for their cause."""
PAUSE, MAX_PAUSE = 0.25, 30.0
"""Seconds before the next attempt; doubled with each, up to the maximum."""


class FaultKind(StrEnum):
    """Why an attempt failed."""

    MODEL = "model"
    """The model refused: status 4xx."""
    SERVER_ERROR = "server error"
    """The model failed with 5xx, or timed out."""
    INSTANCE_LOST = "instance lost"
    """The instance died during the attempt."""
    BUSY = "busy"
    """No instance is ready, or all are full."""
    INPUT = "input"
    """The input is permanently unavailable."""
    PLATFORM = "platform"
    """Storage or network failed, and may work the next time."""


@dataclass(frozen=True)
class AttemptSucceeded:
    content_type: str
    shown: str | None = None


@dataclass(frozen=True)
class AttemptFailed:
    fault: FaultKind
    reason: str


@dataclass(frozen=True)
class Invoke:
    """Invoke the model. ``look``: first look for the output of an earlier attempt."""

    look: bool


@dataclass(frozen=True)
class RecordEnd:
    """Record the outcome, then store the failure if it is one (a response is stored already), then notify. ``look``:
    first look for the output of an earlier attempt; if it is there, the item is complete."""

    outcome: ItemOutcome
    look: bool = False


@dataclass(frozen=True)
class Notify:
    """The outcome is recorded: store the failure if it is one, and send the notifications. Both may be repeated."""

    outcome: ItemOutcome


@dataclass(frozen=True)
class Requeue:
    """Return it to the queue until ``due_at``."""

    held: LeasedItem
    due_at: float


def next_step(held: LeasedItem, exists: bool, now: float) -> Invoke | RecordEnd | Notify:
    """Decide what to do with an item that was just leased. ``exists``: whether its endpoint exists."""
    if held.state is ItemState.NOTIFYING:
        assert held.outcome is not None
        return Notify(held.outcome)
    # A holder that died may have stored the output: a failure must not follow it.
    look = held.fence > 1 and not held.item.named
    if held.outcome is not None:  # an operator emptied the queue
        return RecordEnd(held.outcome, look)
    if not exists:
        return RecordEnd(ItemOutcome(OutcomeKind.FAILED, now, f"Endpoint {held.item.endpoint} is gone."), look)
    if held.losses >= MAX_LOSSES:
        reason = f"The instance or the dispatcher that worked on it died {held.losses} times."
        return RecordEnd(ItemOutcome(OutcomeKind.FAILED, now, reason), look)
    return Invoke(look)


def after_attempt(held: LeasedItem, result: AttemptSucceeded | AttemptFailed, now: float) -> RecordEnd | Requeue:
    """Decide what to do after an attempt."""
    if isinstance(result, AttemptSucceeded):
        return RecordEnd(
            ItemOutcome(OutcomeKind.COMPLETED, now, content_type=result.content_type, shown=result.shown)
        )
    tries, losses = held.tries, held.losses
    failed = RecordEnd(ItemOutcome(OutcomeKind.FAILED, now, result.reason))
    match result.fault:
        case FaultKind.MODEL | FaultKind.INPUT:
            return failed
        case FaultKind.SERVER_ERROR:
            tries += 1
            if tries > held.item.retries:
                return failed
        case FaultKind.INSTANCE_LOST:
            losses += 1
            if losses >= MAX_LOSSES:
                return failed
        case FaultKind.PLATFORM:
            if now - held.begun_at > held.item.timeout + held.item.expires_at - held.item.accepted_at:
                return failed
        case FaultKind.BUSY:
            if now >= held.item.expires_at:
                return RecordEnd(expiry_outcome(held.item, now))
    pause = min(MAX_PAUSE, PAUSE * 2 ** min(held.fence - 1, 7))
    return Requeue(replace(held, tries=tries, losses=losses), now + pause)


def lease(held: LeasedItem, now: float) -> LeasedItem:
    """The item as its next holder gets it; ``held`` is how the previous one left it.

    An item that waited for too long expires here, in the transaction of the lease, so that a dispatcher that dies
    afterwards leaves no doubt. Only items that were never leased expire: a dispatcher that died may have stored an
    output, which a notice of failure must not follow."""
    state, losses, outcome = held.state, held.losses, held.outcome
    if state is ItemState.WAITING:
        if held.fence == 0 and now >= held.item.expires_at:
            state, outcome = ItemState.NOTIFYING, expiry_outcome(held.item, now)
        else:
            state = ItemState.WORKING
    elif state is ItemState.WORKING:
        losses += 1
    begun_at = held.begun_at or now
    # Not by ``replace``, which takes four times as long, and there are thousands a second.
    return LeasedItem(held.item, held.fence + 1, state, held.tries, losses, begun_at, outcome, held.body)


def expiry_outcome(item: Item, now: float) -> ItemOutcome:
    waited = item.expires_at - item.accepted_at
    return ItemOutcome(OutcomeKind.EXPIRED, now, f"The request waited in the queue for longer than {waited:g} s.")


def emptying_outcome(by: str, reason: str, now: float) -> ItemOutcome:
    """Return the outcome of an item that was waiting when somebody emptied the queue."""
    why = f": {reason}" if reason else ""
    return ItemOutcome(OutcomeKind.FAILED, now, f"The queue was emptied by {by}{why}.")
