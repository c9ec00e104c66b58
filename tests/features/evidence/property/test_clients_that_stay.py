"""Clients that stay on one version and send very unequal numbers of requests: equal versions are seldom rolled back if
each client counts once in a stage, and mostly if each request does."""

from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

from tidegate.domain.evidence import Comparison, EvidenceConfig, Finding
from tidegate.domain.traffic import WHOLE
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.ledger import EvidenceLedger, Side
from tidegate.proxy.clients import client_number
from tidegate.statistics.distribution import Distribution

CONFIG = EvidenceConfig(
    compare=(Comparison.ERRORS, Comparison.LATENCY, Comparison.PREDICTIONS), false_rollback_rate=0.05
)
STAGES = (2_500, 5_000)
SECONDS = 60
NEW_CLIENTS = 8
"""Clients that come for the first time in a second."""


@dataclass
class _Client:
    name: str
    pace: float
    """Requests a second."""
    failing: float
    """Part of its requests that fail, on either version."""
    level: float
    """Its prediction and, in milliseconds, its latency."""
    counted: int = -1
    """The floor of the stage in which it was counted last."""


@dataclass
class _Side:
    requests: int = 0
    failed: int = 0
    levels: dict[float, int] = field(default_factory=lambda: defaultdict(int))

    def counts(self) -> SideCounts:
        levels = Distribution.of(dict(self.levels))
        slow = Distribution.of({level * 1000: count for level, count in self.levels.items()})
        return SideCounts(self.requests, self.failed, slow, levels)


def make_client(chance: Random, name: str) -> _Client:
    """One of twenty sends most of the requests; one of ten fails a third of what it asks."""
    pace = min(40.0, 0.05 * chance.paretovariate(0.7))
    return _Client(name, pace, 0.3 if chance.random() < 0.1 else 0.0, round(chance.uniform(1, 99)))


def roll_out(seed: int, by_client: bool, worse: float = 0.0) -> Finding:
    """Simulate two stages. ``worse``: further part of the requests that fails on the new version."""
    chance, ledger = Random(seed), EvidenceLedger(CONFIG, ("main",), 0)
    clients = [make_client(chance, f"{seed}/{number}") for number in range(300)]
    second, floor = 0, 0
    for stage, share in enumerate(STAGES):
        ledger.enter(stage, second)
        for _ in range(SECONDS):
            clients += [make_client(chance, f"{seed}/{second}/{number}") for number in range(NEW_CLIENTS)]
            sides = {Side.OLD: _Side(), Side.NEW: _Side()}
            for client in clients:
                requests = int(client.pace) + (chance.random() < client.pace % 1)
                number = client_number(client.name, "salt")
                if not requests or (by_client and (number < floor or client.counted == floor)):
                    continue
                client.counted, counted = floor, 1 if by_client else requests
                new = number < share
                failing = min(1.0, client.failing + worse * new)
                side = sides[Side.NEW if new else Side.OLD]
                side.requests += counted
                side.failed += sum(chance.random() < failing for _ in range(counted))
                side.levels[client.level] += counted
            for which, side in sides.items():
                ledger.add(second, which, "main", side.counts())
            second += 1
            ledger.advance(second)
        floor = share
    return ledger.verdict.finding


def test_equal_versions_are_seldom_rolled_back_where_clients_count() -> None:
    """Of 100 rollouts at 5 %, 15 or more fail in one of 10,000 tries."""
    assert max(STAGES) < WHOLE
    assert sum(roll_out(seed, by_client=True) is Finding.FAIL for seed in range(100)) < 15


def test_equal_versions_are_often_rolled_back_where_requests_count() -> None:
    assert sum(roll_out(seed, by_client=False) is Finding.FAIL for seed in range(10)) > 5


def test_a_worse_version_is_found_where_clients_count() -> None:
    assert all(roll_out(seed, by_client=True, worse=0.3) is Finding.FAIL for seed in range(5))
