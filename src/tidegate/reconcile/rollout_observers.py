"""Observers that judge a rollout besides its alarms: features, by the hook ``rollout_observer``.

An observer finds, and the core decides: ``rollout/evidence_rule.py`` has the rules for what is found. What nobody
observes is not known, and so it holds a rollout."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.evidence import OF_TRAFFIC, EvidenceAction, EvidenceConfig, Verdict
from tidegate.domain.metric import CollectionRound, Sample
from tidegate.domain.replay import ReplayResult
from tidegate.domain.rollout import Phase
from tidegate.rollout import desired_state

log = logging.getLogger(__name__)

T = TypeVar("T")

REPORTED = EvidenceConfig(compare=OF_TRAFFIC, action=EvidenceAction.REPORT)
"""What is compared where nothing was asked for: it decides nothing, but alarms can watch its metrics."""


@dataclass(frozen=True)
class ComparedVersions:
    """Two versions of an endpoint that are compared, and the stage of their rollout."""

    endpoint: str
    rollout: str
    old: tuple[int, str]
    """Generation and name of the config."""
    new: tuple[int, str]
    variants: tuple[str, ...]
    config: EvidenceConfig
    stage: int
    since: datetime | None
    """When the rollout's present phase began."""
    baking: bool = False
    """Whether the shares stand still in this phase."""
    share: int = 0
    """Share of what is counted that the new version gets in this stage, in basis points."""
    routed: bool = False
    """Whether the new version has had traffic."""
    followed_from: datetime | None = None
    """When this controller first saw the rollout, if the new version had had no traffic by then: every request to it
    came later, and this controller counts it. None: an earlier controller may have counted some."""


def compared_versions(
    endpoint: Endpoint, rollout: Rollout, followed_from: datetime | None = None
) -> ComparedVersions | None:
    """Return the two versions that a rollout compares; None for a first version, and if the versions have no variant
    in common. ``followed_from``: as in ``ComparedVersions``."""
    if rollout.old is None:
        return None
    names = {one.name for one in rollout.old.production}
    variants = tuple(one.name for one in rollout.new.production if one.name in names)
    if not variants:
        return None
    return ComparedVersions(
        endpoint.name,
        rollout.id,
        (rollout.old.generation, rollout.old.config_name),
        (rollout.new.generation, rollout.new.config_name),
        variants,
        rollout.plan.evidence or REPORTED,
        rollout.stage,
        rollout.phase_since,
        rollout.phase is Phase.BAKING,
        desired_state.counted_share(rollout),
        was_routed(endpoint, rollout),
        followed_from,
    )


def was_routed(endpoint: Endpoint, rollout: Rollout) -> bool:
    """Return whether the rollout's new version has had traffic."""
    begun = rollout.plan.stages[: rollout.stage]
    return bool(desired_state.new_share(endpoint) or rollout.losses or any(one.share for one in begun))


class RolloutObserver:
    """Observer of rollouts. Each method has a default: a feature overrides those that it needs."""

    async def turn(
        self, versions: Collection[ComparedVersions], collected: CollectionRound, now: datetime
    ) -> list[Sample]:
        """Observe the rollouts under way, once a second: after their requests were counted, before their alarms are
        judged. Returns metrics."""
        return []

    def verdict(self, rollout: str) -> Verdict | None:
        """Return the verdict on the newest stage of the rollout with this id; None if there is none yet."""
        return None

    def replay(self, rollout: str) -> Mapping[str, ReplayResult] | None:
        """Return results of labelled rows for the rollout's new version, by variant; None if there are none."""
        return None


@dataclass
class RolloutObservers(RolloutObserver):
    """All observers of rollouts. Each fails alone: what it does not find is unknown. ``missing`` says why there is
    none."""

    observers: tuple[RolloutObserver, ...] = ()
    missing: str = "nothing compares versions here"
    _broken: set[tuple[RolloutObserver, str]] = field(default_factory=set)
    """Observers that fail now, and at what; logged once."""

    @property
    def absence(self) -> str:
        """Why rollouts are not observed; empty: they are."""
        return "" if self.observers else self.missing

    async def turn(
        self, versions: Collection[ComparedVersions], collected: CollectionRound, now: datetime
    ) -> list[Sample]:
        found = list[Sample]()
        for one in self.observers:
            try:
                found += await one.turn(versions, collected, now)
                self._broken.discard((one, "turn"))
            except Exception:
                self._note(one, "turn", "versions could not be compared")
        return found

    def verdict(self, rollout: str) -> Verdict | None:
        return self._find("verdict", lambda one: one.verdict(rollout))

    def replay(self, rollout: str) -> Mapping[str, ReplayResult] | None:
        return self._find("replay", lambda one: one.replay(rollout))

    def _find(self, what: str, ask: Callable[[RolloutObserver], T | None]) -> T | None:
        for one in self.observers:
            try:
                found = ask(one)
            except Exception:  # whoever asks judges alarms, too, and those must go on
                self._note(one, what, f"the {what} of a rollout could not be read")
                continue
            self._broken.discard((one, what))
            if found is not None:
                return found
        return None

    def _note(self, one: RolloutObserver, what: str, message: str) -> None:
        if (one, what) not in self._broken:
            log.exception("%s", message)
        self._broken.add((one, what))
