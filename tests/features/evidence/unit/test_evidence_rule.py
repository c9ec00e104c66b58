"""The rule for evidence and for its absence: the whole truth table."""

from itertools import product

import pytest

from tidegate.domain.evidence import (
    Comparison,
    ComparisonResult,
    EvidenceAction,
    EvidenceBlock,
    EvidenceConfig,
    Finding,
    NoDataAction,
    RisingAction,
    Verdict,
    action_on,
    gets_copies_first,
)
from tidegate.features.evidence.judge import begin, fold, judge
from tidegate.rollout.evidence_rule import Ruling, rule

ADVANCE, HOLD, GATE, BACK = Ruling.ADVANCE, Ruling.HOLD, Ruling.GATE, Ruling.ROLL_BACK
LACKING: dict[tuple[NoDataAction, bool], Ruling] = {
    (NoDataAction.ROLLBACK, False): HOLD,
    (NoDataAction.ROLLBACK, True): BACK,
    (NoDataAction.GATE, False): HOLD,
    (NoDataAction.GATE, True): GATE,
    (NoDataAction.ADVANCE, False): HOLD,
    (NoDataAction.ADVANCE, True): ADVANCE,
}
"""Without evidence: by the setting, and whether the deadline is over."""

# finding, action, promoted -> ruling (nothing rises); None: as LACKING says
TABLE: dict[tuple[Finding | None, EvidenceAction, bool], Ruling | None] = {
    (Finding.PASS, EvidenceAction.ROLLBACK, False): ADVANCE,
    (Finding.PASS, EvidenceAction.ROLLBACK, True): ADVANCE,
    (Finding.PASS, EvidenceAction.GATE, False): ADVANCE,
    (Finding.PASS, EvidenceAction.GATE, True): ADVANCE,
    (Finding.PASS, EvidenceAction.REPORT, False): ADVANCE,
    (Finding.PASS, EvidenceAction.REPORT, True): ADVANCE,
    **{(Finding.UNDECIDED, action, promoted): ADVANCE for action in EvidenceAction for promoted in (False, True)},
    (Finding.FAIL, EvidenceAction.ROLLBACK, False): BACK,
    (Finding.FAIL, EvidenceAction.ROLLBACK, True): BACK,
    (Finding.FAIL, EvidenceAction.GATE, False): GATE,
    (Finding.FAIL, EvidenceAction.GATE, True): ADVANCE,
    (Finding.FAIL, EvidenceAction.REPORT, False): ADVANCE,
    (Finding.FAIL, EvidenceAction.REPORT, True): ADVANCE,
    (Finding.NO_DATA, EvidenceAction.ROLLBACK, False): None,
    (Finding.NO_DATA, EvidenceAction.ROLLBACK, True): ADVANCE,
    (Finding.NO_DATA, EvidenceAction.GATE, False): None,
    (Finding.NO_DATA, EvidenceAction.GATE, True): ADVANCE,
    (Finding.NO_DATA, EvidenceAction.REPORT, False): ADVANCE,
    (Finding.NO_DATA, EvidenceAction.REPORT, True): ADVANCE,
    (None, EvidenceAction.ROLLBACK, False): None,
    (None, EvidenceAction.ROLLBACK, True): ADVANCE,
    (None, EvidenceAction.GATE, False): None,
    (None, EvidenceAction.GATE, True): ADVANCE,
    (None, EvidenceAction.REPORT, False): ADVANCE,
    (None, EvidenceAction.REPORT, True): ADVANCE,
}


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(product((*Finding, None), EvidenceAction, (False, True)))
    assert set(LACKING) == set(product(NoDataAction, (False, True)))


@pytest.mark.parametrize(("overdue", "without"), [(late, one) for late in (False, True) for one in NoDataAction])
@pytest.mark.parametrize(("finding", "action", "promoted"), list(TABLE))
def test_the_rule_is_the_table(
    finding: Finding | None, action: EvidenceAction, promoted: bool, overdue: bool, without: NoDataAction
) -> None:
    config = EvidenceConfig(action=action, on_no_data=without)
    wanted = TABLE[finding, action, promoted]
    assert rule(config, finding, promoted=promoted, overdue=overdue) is (wanted or LACKING[without, overdue])


@pytest.mark.parametrize(("overdue", "without"), [(late, one) for late in (False, True) for one in NoDataAction])
@pytest.mark.parametrize("on_rising", RisingAction)
@pytest.mark.parametrize(("finding", "action", "promoted"), list(TABLE))
def test_a_rising_difference_holds_what_is_undecided_and_changes_nothing_else(
    finding: Finding | None,
    action: EvidenceAction,
    promoted: bool,
    overdue: bool,
    without: NoDataAction,
    on_rising: RisingAction,
) -> None:
    config = EvidenceConfig(action=action, on_no_data=without, on_rising=on_rising)
    calm = rule(config, finding, promoted=promoted, overdue=overdue)
    held = finding is Finding.UNDECIDED and on_rising is RisingAction.HOLD
    held = held and not promoted and action is not EvidenceAction.REPORT
    found = rule(config, finding, promoted=promoted, overdue=overdue, rising=True)
    assert found is (LACKING[without, overdue] if held else calm)


@pytest.mark.parametrize("action", EvidenceAction)
@pytest.mark.parametrize("on_features", [EvidenceAction.GATE, EvidenceAction.ROLLBACK])
@pytest.mark.parametrize(
    "failed",
    [
        (),
        (Comparison.FEATURES,),
        (Comparison.PAIRED,),
        (Comparison.PAIRED, Comparison.FEATURES),
        (Comparison.FEATURES, Comparison.ERRORS),
    ],
)
def test_what_features_alone_have_found_waits_for_a_person_unless_the_settings_say_otherwise(
    action: EvidenceAction, on_features: EvidenceAction, failed: tuple[Comparison, ...]
) -> None:
    """Columns that differ are no proof of harm. With a failure of anything else they roll back."""
    config = EvidenceConfig((Comparison.ERRORS, *failed), action=action, on_features=on_features)
    results = [ComparisonResult(one, "AllTraffic", Finding.FAIL, 1.5, "x") for one in failed]
    passed = ComparisonResult(Comparison.LATENCY, "AllTraffic", Finding.PASS, 0.1, "p50")
    verdict = Verdict(Finding.FAIL if failed else Finding.PASS, 0, "", (passed, *results))
    gated = failed == (Comparison.FEATURES,) and action is EvidenceAction.ROLLBACK
    assert action_on(config, verdict) is (on_features if gated else action)
    if gated and on_features is EvidenceAction.GATE:
        found = {
            late: rule(config, Finding.FAIL, promoted=False, overdue=late, action=action_on(config, verdict))
            for late in (False, True)
        }
        assert found == {False: GATE, True: GATE}, "also past the deadline, whatever is done without data"


def found(comparison: Comparison, finding: Finding, never: str = "", needed: bool = True) -> ComparisonResult:
    return ComparisonResult(comparison, "main", finding, 0.0, "x", never=never, needed=needed)


NUMBERLESS = found(Comparison.PAIRED, Finding.NO_DATA, "no numbers")


@pytest.mark.parametrize(
    ("others", "rising", "never"),
    [
        ((), False, True),
        ((found(Comparison.ERRORS, Finding.UNDECIDED),), False, True),
        ((found(Comparison.ERRORS, Finding.PASS),), False, True),
        ((found(Comparison.ERRORS, Finding.UNDECIDED),), True, False),
        ((found(Comparison.ERRORS, Finding.NO_DATA),), False, False),
        ((found(Comparison.ERRORS, Finding.PASS), found(Comparison.LATENCY, Finding.NO_DATA)), False, False),
        ((found(Comparison.ERRORS, Finding.NO_DATA, needed=False),), False, True),
        ((found(Comparison.FEATURES, Finding.NO_DATA, "no columns"),), False, True),
    ],
)
def test_what_can_never_be_judged_ends_no_wait_for_anything_else(
    others: tuple[ComparisonResult, ...], rising: bool, never: bool
) -> None:
    assert Verdict(Finding.NO_DATA, 1, "", (*others, NUMBERLESS), rising).never is never


@pytest.mark.parametrize(("stage", "never"), [(0, True), (1, False)])
def test_what_a_stage_of_copies_does_not_need_is_not_waited_for(stage: int, never: bool) -> None:
    """Its new version has no requests of its own; in the next stage it has, and errors are still to be compared."""
    config = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.PAIRED))
    assert gets_copies_first(config)
    numberless = EvidenceBlock(
        1, 1, stage, {}, {"main/paired/pairs": (60, 60, 60), "main/paired/numberless": (60, 60, 60)}
    )
    verdict = judge(fold(begin(config, ("main",)), numberless))
    assert [one.finding for one in verdict.results] == [Finding.NO_DATA, Finding.NO_DATA]
    assert verdict.never is never
