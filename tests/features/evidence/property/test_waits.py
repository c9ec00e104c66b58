"""What a hold is told to need: a finite number or none, and never more after more requests."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.evidence import Comparison, ComparisonResult, EvidenceConfig, Finding, Measurement
from tidegate.features.evidence.waits import SOON, extrapolate, find_waits

COMPARED = st.sampled_from([one for one in Comparison])
NUMBERS = st.integers(0, 100_000)


@given(COMPARED, st.integers(1, 10_000), NUMBERS, NUMBERS, st.integers(0, 50), NUMBERS, st.integers(0, 10_000))
def test_more_requests_never_need_more(
    comparison: Comparison, minimum: int, old: int, new: int, blocks: int, seconds: int, more: int
) -> None:
    config = EvidenceConfig(minimum=minimum)
    result = ComparisonResult(comparison, "main", Finding.NO_DATA, 0.0, "", stage_requests=(old, new))
    result = replace(result, stage_blocks=blocks, lost=(old, 0), compared=old)
    (before,) = find_waits([result], config, seconds)
    (after,) = find_waits([replace(result, stage_requests=(old + more, new + more))], config, seconds)
    if before.requests is not None and after.requests is not None:
        assert 0 <= after.requests <= before.requests
    if before.seconds is not None and after.seconds is not None:
        assert 0 <= after.seconds <= before.seconds


@given(NUMBERS, st.floats(0, 2), st.floats(0, 1))
def test_more_evidence_never_needs_more(count: int, evidence: float, more: float) -> None:
    before, after = extrapolate(count, evidence), extrapolate(count, evidence + more)
    assert (before is None) == (evidence < SOON)
    assert before is None or (after is not None and 0 <= after <= before)


@given(st.floats(-1, 1), st.floats(0, 1e300), st.floats(-1, 1), NUMBERS, st.floats(0, 0.99), NUMBERS)
def test_a_difference_that_may_be_about_to_fail_needs_a_finite_number_or_nothing_is_said(
    estimate: float, half: float, tolerance: float, count: int, evidence: float, seconds: int
) -> None:
    one = Measurement(
        "p50", Finding.UNDECIDED, estimate, estimate - half, estimate + half, tolerance, count, evidence, True
    )
    result = ComparisonResult(
        Comparison.LATENCY, "main", Finding.UNDECIDED, evidence, "p50", measurements=(one,), rising=True
    )
    (wait,) = find_waits([result], EvidenceConfig(), seconds)
    assert wait.requests is None or wait.requests >= 0
    assert wait.seconds is None or wait.seconds >= 0
