"""Observers of rollouts: each fails alone, and none is no good news."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import pytest

from tidegate.domain.evidence import Finding, Verdict
from tidegate.domain.metric import CollectionRound, MetricId, Sample
from tidegate.domain.replay import ReplayResult
from tidegate.reconcile.rollout_observers import ComparedVersions, RolloutObserver, RolloutObservers

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FOUND = Verdict(Finding.FAIL, 0, "it differs")
SAMPLE = Sample(MetricId.of("tidegate", "difference", {}), int(NOON.timestamp()), 1.0, 1.0, 1.0, 1.0)


class Broken(RolloutObserver):
    async def turn(
        self, versions: Collection[ComparedVersions], collected: CollectionRound, now: datetime
    ) -> list[Sample]:
        raise RuntimeError("a fault")

    def verdict(self, rollout: str) -> Verdict | None:
        raise RuntimeError("a fault")

    def replay(self, rollout: str) -> Mapping[str, ReplayResult] | None:
        raise RuntimeError("a fault")


class Sound(RolloutObserver):
    async def turn(
        self, versions: Collection[ComparedVersions], collected: CollectionRound, now: datetime
    ) -> list[Sample]:
        return [SAMPLE]

    def verdict(self, rollout: str) -> Verdict | None:
        return FOUND if rollout == "r" else None

    def replay(self, rollout: str) -> Mapping[str, ReplayResult] | None:
        return {} if rollout == "r" else None


async def test_an_observer_that_fails_hides_nothing_that_another_finds(caplog: pytest.LogCaptureFixture) -> None:
    observers = RolloutObservers((Broken(), RolloutObserver(), Sound()))
    for _ in range(2):
        assert await observers.turn([], CollectionRound([], {}), NOON) == [SAMPLE]
        assert (observers.verdict("r"), observers.replay("r")) == (FOUND, {})
        assert (observers.verdict("other"), observers.replay("other")) == (None, None)
    assert len(caplog.records) == 3, "each trouble is logged once"
    assert observers.absence == ""


def test_without_an_observer_there_is_a_reason() -> None:
    assert RolloutObservers().absence
    assert RolloutObservers((), "it is off").absence == "it is off"
