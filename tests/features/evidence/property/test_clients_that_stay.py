"""Clients that stay on one version and send very unequal numbers of requests: equal versions are seldom rolled back
if each client counts once in a stage, and mostly if each request does."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from tests.client_numbers import client_number
from tidegate.domain.evidence import Comparison, EvidenceConfig, Finding
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.ledger import EvidenceLedger, Side
from tidegate.statistics.distribution import Distribution

QUICK = (Comparison.ERRORS, Comparison.LATENCY)
ALL = (*QUICK, Comparison.PREDICTIONS)
CONFIG = EvidenceConfig(compare=QUICK, false_rollback_rate=0.05)
STAGES = (2_500, 5_000)
SECONDS, CLIENTS = 60, 1_000


@dataclass
class _Client:
    name: str
    pace: float
    """Requests a second."""
    failing: float
    """Part of its requests that fail, on either version."""
    level: float
    """Its prediction and, in milliseconds, its latency."""


@dataclass
class _Side:
    requests: int = 0
    failed: int = 0
    levels: dict[float, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, failed: bool, level: float) -> None:
        self.requests += 1
        self.failed += failed
        self.levels[level] += 1

    def counts(self) -> SideCounts:
        levels = Distribution.of(dict(self.levels))
        slow = Distribution.of({level * 1000: count for level, count in self.levels.items()})
        return SideCounts(self.requests, self.failed, slow, levels)


def make_client(chance: Random, name: str) -> _Client:
    """One of twenty sends most of the requests; one of ten fails a third of what it asks."""
    pace = min(30.0, 0.003 * chance.paretovariate(0.5))
    return _Client(name, pace, 0.3 if chance.random() < 0.1 else 0.0, round(chance.uniform(1, 99)))


def roll_out(config: EvidenceConfig, seed: int, by_client: bool, worse: float = 0.0) -> Finding:
    """Simulate two stages. ``worse``: further part of the requests that fails on the new version."""
    chance, ledger = Random(seed), EvidenceLedger(config, ("main",), 0)
    clients = [make_client(chance, f"{seed}/{number}") for number in range(CLIENTS)]
    floor = 0
    for stage, share in enumerate(STAGES):
        ledger.enter(stage, stage * SECONDS)
        seconds = [(_Side(), _Side()) for _ in range(SECONDS)]
        for client in clients:
            number = client_number(client.name, "salt")
            if by_client and number < floor:
                continue
            at = chance.expovariate(client.pace)
            while at < SECONDS:
                new = number < share
                failed = chance.random() < min(1.0, client.failing + worse * new)
                seconds[int(at)][new].add(failed, client.level)
                at = SECONDS if by_client else at + chance.expovariate(client.pace)
        for number, sides in enumerate(seconds, stage * SECONDS):
            for which, side in zip(Side, sides, strict=True):
                ledger.add(number, which, "main", side.counts())
            ledger.advance(number + 1)
        floor = share
    return ledger.verdict.finding


@pytest.mark.parametrize(("compare", "rollouts", "most"), [(QUICK, 100, 13), (ALL, 20, 5)], ids=["quick", "all"])
def test_equal_versions_are_seldom_rolled_back_where_clients_count(
    compare: tuple[Comparison, ...], rollouts: int, most: int
) -> None:
    """At 5 %, more fail in one of 1,000 tries at most."""
    config = replace(CONFIG, compare=compare)
    assert sum(roll_out(config, seed, by_client=True) is Finding.FAIL for seed in range(rollouts)) <= most


def test_equal_versions_are_often_rolled_back_where_requests_count() -> None:
    assert sum(roll_out(CONFIG, seed, by_client=False) is Finding.FAIL for seed in range(10)) > 5


def test_a_worse_version_is_found_where_clients_count() -> None:
    assert all(roll_out(CONFIG, seed, by_client=True, worse=0.3) is Finding.FAIL for seed in range(5))
