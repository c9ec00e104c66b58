"""Evidence beside an endpoint: what is counted of a fleet's second, what is published, what is shown."""

from dataclasses import replace

import msgspec
import pytest

from tests.memory_store import MemoryTx
from tests.unit.service.test_deploy import START
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import NotFound
from tidegate.domain.evidence import (
    PROVING,
    RULES,
    Comparison,
    EvidenceBlock,
    EvidenceConfig,
    EvidenceRecord,
    Finding,
)
from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import FleetSecond, Latency, WorkerSeries
from tidegate.domain.worker_stats import COMPARED
from tidegate.features.evidence.judge import recompute
from tidegate.features.evidence.kinds import EVIDENCE
from tidegate.features.evidence.loop import evidence_samples
from tidegate.features.evidence.service import find_evidence, keep_evidence, show_evidence
from tidegate.features.evidence.side_counts import count_side
from tidegate.monitoring import sketch
from tidegate.service.metric_samples import samples
from tidegate.service.record_kinds import ENDPOINT, endpoint_kinds
from tidegate.store.patches import apply_patch, diff

FLEET = FleetId("fraud", 2, "main")
CONFIG = EvidenceConfig(compare=(Comparison.ERRORS,), minimum=50)
BLOCKS = {str(at): EvidenceBlock(at, 1, 0, {"main/errors/errors": (90, 1, 10, 3)}) for at in range(100, 110)}


def series(name: str, *values: float) -> WorkerSeries:
    bins: dict[int, float] = {}
    for value in values:
        bins[sketch.index(value)] = bins.get(sketch.index(value), 0) + 1
    return WorkerSeries(name, (), Latency(bins, sum(values), min(values), max(values)))


def second(**counts: int) -> FleetSecond:
    return replace(FleetSecond(FLEET, "v2", 7, 1), **counts)  # type: ignore[arg-type]


def record() -> EvidenceRecord:
    verdict = recompute(CONFIG, ("main",), BLOCKS.values(), 0)
    return EvidenceRecord("fraud", "r1", "v1", "v2", CONFIG, ("main",), verdict, 110, BLOCKS)


def test_a_request_without_a_2xx_fails_whoever_answered() -> None:
    assert count_side(second(invocations=10, errors_5xx=2, errors_4xx=1)).failed == 3
    assert count_side(second(invocations=10, model_errors=4, errors_5xx=2)).failed == 4
    assert count_side(second()).requests == 0


def test_repeats_of_sessions_are_no_requests() -> None:
    found = count_side(
        replace(second(invocations=10, errors_5xx=6), series=(series("SessionRepeat", 1, 1, 1, 1, 0),))
    )
    assert (found.requests, found.failed) == (5, 2)
    odd = count_side(replace(second(invocations=1), series=(series("SessionRepeat", 1, 1, 1),)))
    assert (odd.requests, odd.failed) == (0, 0)


def test_repeats_of_clients_are_neither_requests_nor_latencies() -> None:
    whole = second(invocations=4, errors_5xx=2)
    repeats = (series("ClientRepeat", 1, 0), series("RepeatedLatency", 700, 9_000))
    found = count_side(replace(whole, model_latency=series("", 500, 700, 700, 9_000).values, series=repeats))
    assert (found.requests, found.failed) == (2, 1)
    assert found.latencies.total == 2 and found.latencies.above(5_000) == 0


def test_latencies_and_signed_predictions_are_values_with_counts() -> None:
    latency = Latency({sketch.index(1000.0): 3.0}, 3000, 1000, 1000)
    found = count_side(
        replace(
            second(invocations=5),
            model_latency=latency,
            series=(
                series("Prediction", 0.5, 0.0),
                series("NegativePrediction", 2.0),
                series("UnusablePrediction", 1),
            ),
        )
    )
    assert list(found.latencies.values) == pytest.approx([1000], rel=0.011)
    assert found.latencies.counts == (3,)
    assert list(found.predictions.values) == pytest.approx([-2, 0, 0.5], rel=0.011)
    assert found.unusable == 1


def test_series_of_comparisons_are_no_metrics() -> None:
    made = samples([replace(second(), series=tuple(series(name, 1) for name in sorted(COMPARED)))])
    assert made == []


def test_the_metrics_say_how_close_a_comparison_is_to_a_failure() -> None:
    made = evidence_samples(record(), 109)
    assert {sample.metric.name for sample in made} == {"ErrorEvidence", "Evidence"}
    named = {"EndpointName": "fraud", "VariantName": "main", "EndpointConfigName": "v2"}
    assert all(
        (sample.metric.namespace, dict(sample.metric.dimensions)) == ("tidegate/Evidence", named)
        for sample in made
    )
    assert all(sample.at == 109 and sample.high >= 1 for sample in made)
    without = replace(record(), verdict=recompute(CONFIG, ("main",), (), 0))
    assert evidence_samples(without, 109) == [], "the new version had no requests yet"


def store() -> MemoryTx:
    tx = MemoryTx()
    tx.put(ENDPOINT, "fraud", Endpoint("fraud", START, START), expect=0, now=START)
    return tx


def test_a_pass_of_an_earlier_version_proves_nothing_and_is_not_shown_as_one() -> None:
    verdict = recompute(CONFIG, ("main",), (), 0)
    result = replace(verdict.results[0], finding=Finding.PASS)
    passed = replace(record(), verdict=replace(verdict, finding=Finding.PASS, results=(result,)))
    tx = store()
    for rules, shown in ((1, Finding.UNDECIDED), (PROVING, Finding.PASS), (RULES, Finding.PASS)):
        keep_evidence(tx, replace(passed, rules=rules), 110)
        found = find_evidence(tx, "fraud")
        assert found is not None
        assert (found.verdict.finding, found.verdict.results[0].finding) == (shown, shown)


def test_what_is_kept_is_shown_with_the_verdict_that_follows_from_it() -> None:
    tx = store()
    keep_evidence(tx, record(), 110)
    found = show_evidence(tx, "fraud")
    assert found["recomputed"] == found["verdict"]
    assert found["verdict"]["finding"] == Finding.FAIL  # type: ignore[index]
    assert found["false_alarm_rates"] == {"errors": 0.01}
    other = replace(record(), verdict=replace(record().verdict, finding=Finding.PASS))
    keep_evidence(tx, other, 111)
    shown = show_evidence(tx, "fraud")
    assert shown["recomputed"] != shown["verdict"]


def test_there_is_nothing_to_show_without_a_rollout_or_an_endpoint() -> None:
    with pytest.raises(NotFound, match="no rollout whose versions were compared"):
        show_evidence(store(), "fraud")
    with pytest.raises(NotFound):
        show_evidence(MemoryTx(), "fraud")


def test_evidence_goes_with_its_endpoint_and_does_not_come_back() -> None:
    tx = store()
    keep_evidence(tx, record(), 110)
    assert EVIDENCE in endpoint_kinds()
    tx.delete(EVIDENCE, "fraud", expect=None, now=START)
    tx.delete(ENDPOINT, "fraud", expect=None, now=START)
    keep_evidence(tx, record(), 111)
    assert find_evidence(tx, "fraud") is None


def test_a_new_block_is_a_small_change_of_a_long_record() -> None:
    blocks = {str(at): EvidenceBlock(at, 1, 0, {"main/errors/errors": (90, 1, 10, 3)}) for at in range(2000)}
    tx = store()
    keep_evidence(tx, replace(record(), blocks=blocks), 110)
    before = tx.get(EVIDENCE, "fraud")
    more = {**blocks, "2000": EvidenceBlock(2000, 1, 0, {"main/errors/errors": (90, 1, 10, 3)})}
    keep_evidence(tx, replace(record(), blocks=more), 111)
    after = tx.get(EVIDENCE, "fraud")
    assert before is not None and after is not None
    plain = (msgspec.to_builtins(before.body), msgspec.to_builtins(after.body))
    patch = diff(*plain)
    assert len(msgspec.json.encode(patch)) < 500
    assert apply_patch(patch, plain[0]) == plain[1]
    found = find_evidence(tx, "fraud")
    assert found is not None and found.blocks == more
