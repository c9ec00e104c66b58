"""How soon a fault is found that begins after a long good time: python -m bench.evidence --late.

By the ledger of a rollout and the counts that are to be expected, without chance: 90 requests a second to the old
version and 10 to the new one."""

import math

from bench import tables
from tidegate.domain.evidence import Comparison, EvidenceConfig, Finding
from tidegate.features.evidence.block_widths import block_width
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.features.evidence.ledger import EvidenceLedger, Side
from tidegate.statistics.distribution import Distribution

CONFIG = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.LATENCY, Comparison.PREDICTIONS))
OLD_RATE, NEW_RATE = 90, 10
BEFORE = 10
HOUR, DAY = 3_600, 86_400
VALUES = 10
"""Latencies, and scores, that are equally frequent."""
FAULTS: dict[str, dict[str, float]] = {
    "five times the errors": {"errors": 0.05},
    "twice as slow": {"slower": 2.0},
    "half of the scores higher": {"higher": 0.5},
}


def side(
    since: int, until: int, rate: int, errors: float = 0.01, slower: float = 1, higher: float = 0
) -> SideCounts:
    """What a version does in these seconds: exactly what is expected."""
    requests = rate * (until - since)
    failed = math.floor(until * rate * errors) - math.floor(since * rate * errors)
    each = requests // VALUES
    moved = round(VALUES * higher)
    scores = {place / VALUES: each for place in range(moved, VALUES)} | {1.0: each * moved}
    latencies = {1_000.0 * slower * (10 + place): each for place in range(VALUES)}
    return SideCounts(requests, failed, Distribution.of(latencies), Distribution.of(scores))


def seconds_to_find(good: int, stages: int, fault: dict[str, float]) -> int:
    """Seconds from the begin of a fault to the verdict. ``good``: seconds before it, in this many stages."""
    ledger = EvidenceLedger(CONFIG, ("main",), 0)
    ledger.add(0, Side.OLD, "main", side(0, BEFORE, OLD_RATE + NEW_RATE))
    now = BEFORE
    for stage in range(1, stages + 1):
        ledger.enter(stage, now)
        begun = now
        while now < begun + good // stages:
            until = min(now + block_width(now - begun), begun + good // stages)
            ledger.add(now, Side.OLD, "main", side(now, until, OLD_RATE))
            ledger.add(now, Side.NEW, "main", side(now, until, NEW_RATE))
            ledger.advance(until)
            now = until
    if stages > 1:
        ledger.enter(stages + 1, now)
    if _failed(ledger):
        return 0
    begun = now
    while not _failed(ledger) and now < begun + HOUR:
        ledger.add(now, Side.OLD, "main", side(now, now + 1, OLD_RATE))
        ledger.add(now, Side.NEW, "main", side(now, now + 1, NEW_RATE, **fault))
        now += 1
        ledger.advance(now)
    return now - begun


def _failed(ledger: EvidenceLedger) -> bool:
    return ledger.verdict.finding is Finding.FAIL


def show_late(*, keep: bool) -> None:
    rows = [
        [name, *(seconds_to_find(*good, fault) for good in ((0, 1), (HOUR, 1), (DAY, 1), (HOUR, 3)))]
        for name, fault in FAULTS.items()
    ]
    header = ["fault, 10 % canary of 100/s", "begins at once", "after an hour", "after a day", "with stage 4"]
    title = "Seconds until a fault is found, by when it begins"
    tables.show("evidence-late", title, header, rows, keep=keep, command="evidence --late")
