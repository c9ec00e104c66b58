"""A person's labels of judged pairs: which pair is shown, what a label says, and where labels are kept.

Pairs are labelled in the order in which they were judged, and none is left out: labels of those only that somebody
likes to label would be no sample by chance. Whoever finds neither answer better says so."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.evidence import Preference
from tidegate.features.evidence.kept_pairs import KeptPair
from tidegate.ports.store import Kind, Tx

BETTER = ("A", "B", "neither")
"""What a person may say."""


@dataclass(frozen=True)
class PairLabels:
    """The labels of one rollout, in the order in which their pairs were judged."""

    rollout: str
    preferences: tuple[Preference, ...] = ()


LABELS = Kind("judged-labels", PairLabels)


def find_labels(tx: Tx, endpoint: str, rollout: str) -> tuple[Preference, ...]:
    found = tx.get(LABELS, endpoint)
    return found.body.preferences if found is not None and found.body.rollout == rollout else ()


def find_waiting(kept: Sequence[KeptPair], labelled: Collection[str]) -> list[KeptPair]:
    """Return the pairs that are to be shown to a person, oldest first."""
    return [one for one in kept if one.texts is not None and one.id not in labelled]


def label_pair(kept: Sequence[KeptPair], labelled: Collection[str], id: str, better: str) -> list[Preference]:
    """Return the labels that follow from a person's: that of the pair, and before it those of pairs whose answers are
    equal. Such a pair counts only once one after it is labelled: if it counted at once, the last labels would be a
    choice by what is in the pairs. Raises Invalid or Conflict."""
    if better not in BETTER:
        raise Invalid(f"'better' must be one of {', '.join(BETTER)}")
    waiting = find_waiting(kept, labelled)
    if not waiting or waiting[0].id != id:
        raise Conflict(f"pair {id} is not the next one: pairs are labelled in the order in which they were judged")
    until = next(place for place, one in enumerate(kept) if one.id == id)
    found = [_prefer(one, 0.5) for one in kept[:until] if one.id not in labelled]
    first = better == BETTER[0]
    return [*found, _prefer(kept[until], 0.5 if better == BETTER[2] else float(first != kept[until].new_first))]


def _prefer(one: KeptPair, preferred: float) -> Preference:
    return Preference(one.id, one.variant, one.judged, one.chosen, preferred)


def keep_label(
    tx: Tx, names: tuple[str, str], kept: Sequence[KeptPair], id: str, better: str, now: datetime
) -> tuple[Preference, ...]:
    """Keep a label. ``names``: of the endpoint and of the rollout. Returns all labels. Raises Invalid or Conflict."""
    endpoint, rollout = names
    known = find_labels(tx, endpoint, rollout)
    fresh = label_pair(kept, {one.id for one in known}, id, better)
    after = (*known, *fresh)
    tx.put(LABELS, endpoint, PairLabels(rollout, after), expect=None, now=now)
    return after
