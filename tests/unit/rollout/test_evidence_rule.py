"""The rule for evidence and for its absence: the whole truth table."""

from itertools import product

import pytest

from tidegate.domain.evidence import EvidenceAction, EvidenceConfig, Finding, NoDataAction
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

# finding, action, promoted -> ruling; None: as LACKING says
TABLE: dict[tuple[Finding | None, EvidenceAction, bool], Ruling | None] = {
    (Finding.PASS, EvidenceAction.ROLLBACK, False): ADVANCE,
    (Finding.PASS, EvidenceAction.ROLLBACK, True): ADVANCE,
    (Finding.PASS, EvidenceAction.GATE, False): ADVANCE,
    (Finding.PASS, EvidenceAction.GATE, True): ADVANCE,
    (Finding.PASS, EvidenceAction.REPORT, False): ADVANCE,
    (Finding.PASS, EvidenceAction.REPORT, True): ADVANCE,
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
