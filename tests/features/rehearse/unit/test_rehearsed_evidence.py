"""Evidence in rehearsals: judged as live, shown by stage, and nothing is taken for granted."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from tests.features.rehearse.unit.test_rehearsal import USUAL
from tests.samples import canary, linear, percent, version
from tidegate.domain.assurance import Assurance, Harm
from tidegate.domain.evidence import (
    Comparison,
    EvidenceAction,
    EvidenceConfig,
    Finding,
    Judging,
    NoDataAction,
    RisingAction,
)
from tidegate.domain.replay import ReplayConfig
from tidegate.domain.rollout import Cause, Version
from tidegate.features.evidence.judge import false_alarm_rates, recompute
from tidegate.features.rehearse.promise import HEALTHY, VersionFault, expectations
from tidegate.features.rehearse.promise.evidence_power import chance_to_find
from tidegate.features.rehearse.promise.passage import ComparedStage
from tidegate.features.rehearse.rehearsal.compared_traffic import (
    RehearsedComparison,
    describe_assumptions,
    without_unknown,
)
from tidegate.features.rehearse.rehearsal.rehearsal import (
    PreparedScenario,
    RehearsalRun,
    RunOutcome,
    Scenario,
    rehearse,
)
from tidegate.features.rehearse.rehearsal.stage_findings import REPLAY_STAGE

ERRORS = (Comparison.ERRORS,)
TRAFFIC = (Comparison.ERRORS, Comparison.LATENCY, Comparison.PREDICTIONS)
PAIRED = (Comparison.ERRORS, Comparison.PAIRED)
REPLAY = ReplayConfig("file:///rows.csv", label="fraud")


def scenario(config: EvidenceConfig, rate: float = 40.0) -> Scenario:
    deployment = replace(canary(percent(10), 120, 0, alarms=()), evidence=config)
    return Scenario(pipeline("v1"), pipeline("v2"), deployment, (), rate, USUAL)


def pipeline(name: str) -> Version:
    made = version(name)
    variant = made.variants[0]
    model = replace(variant.model, containers=variant.model.containers * 2)
    return replace(made, variants=(replace(variant, model=model),))


def play(config: EvidenceConfig, faults: Sequence[str] = (), seed: int = 1, rate: float = 40.0) -> RehearsalRun:
    fault = expectations.parse_fault(faults)
    return PreparedScenario(scenario(config, rate), fault).run(Random(seed))


@pytest.mark.parametrize(
    ("compare", "fault", "comparison", "stage"),
    [
        (ERRORS, "error-rate=20%", "errors", 0),
        (ERRORS, "refusal-rate=20%", "errors", 0),
        (TRAFFIC, "latency=+400ms", "latency", 0),
        (TRAFFIC, "prediction-shift=-4", "predictions", 0),
        (PAIRED, "prediction-shift=1", "paired", 0),
        (PAIRED, "wrong-predictions=50%", "paired", 0),
    ],
)
def test_each_fault_is_found_by_the_comparison_that_sees_it(
    compare: tuple[Comparison, ...], fault: str, comparison: str, stage: int
) -> None:
    run = play(EvidenceConfig(compare), [fault])
    assert (run.outcome, run.cause, run.stage) == (RunOutcome.ROLLED_BACK, Cause.EVIDENCE, stage)
    assert {one.comparison for one in run.spoke} == {comparison}
    assert {one.stage for one in run.spoke} == {stage}
    assert run.findings[-1].finding is Finding.FAIL
    assert 0 < run.findings[-1].seconds < 120
    if comparison == "paired":
        assert run.requests == 0, "copies alone decided, before any client got an answer"


def test_a_shift_of_predictions_shows_although_the_usual_ones_are_not_known() -> None:
    one = scenario(EvidenceConfig(TRAFFIC))
    unknown = replace(one, baseline=replace(one.baseline, predictions=None))
    run = PreparedScenario(unknown, VersionFault(prediction_shift=4)).run(Random(1))
    assert [each.comparison for each in run.spoke] == ["predictions"]
    assert any("usual ones not given" in said for said in unknown.assumptions)
    assert not any("usual ones not given" in said for said in one.assumptions)


def test_changed_columns_hold_the_stage_for_a_person() -> None:
    config = EvidenceConfig((Comparison.FEATURES,), copies=60, minimum=50, deadline=60)
    held = play(config, ["changed-columns=20%"], rate=2.0)
    assert held.outcome is RunOutcome.HELD
    assert {(one.comparison, one.test) for one in held.spoke} == {("features", "stage[0]")}
    back = play(replace(config, on_features=EvidenceAction.ROLLBACK), ["changed-columns=20%"], rate=2.0)
    assert back.outcome is RunOutcome.ROLLED_BACK


def test_a_replay_with_labels_turns_back_before_any_request() -> None:
    config = EvidenceConfig(ERRORS, replay=REPLAY)
    run = play(config, ["auc-loss=0.2"])
    assert (run.outcome, run.requests) == (RunOutcome.ROLLED_BACK, 0)
    assert [(one.comparison, one.stage) for one in run.spoke] == [("replay", REPLAY_STAGE)]
    assert "auc" in run.spoke[0].test
    assert play(config).outcome is RunOutcome.PASSED


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        (NoDataAction.ROLLBACK, RunOutcome.ROLLED_BACK),
        (NoDataAction.GATE, RunOutcome.HELD),
        (NoDataAction.ADVANCE, RunOutcome.PASSED),
    ],
)
def test_no_data_is_neither_a_pass_nor_a_failure(action: NoDataAction, outcome: RunOutcome) -> None:
    run = play(EvidenceConfig(ERRORS, on_no_data=action, deadline=60), ["no-data"], rate=2.0)
    assert run.outcome is outcome
    assert run.findings[0].finding is Finding.NO_DATA
    assert run.findings[0].lacking == ("errors",)
    assert run.spoke == ()
    assert run.seconds >= 180, "not before the bake and the deadline are over"


def test_a_version_like_the_old_one_passes_every_stage() -> None:
    config = EvidenceConfig((*TRAFFIC, Comparison.PAIRED), replay=REPLAY)
    run = play(config)
    assert run.outcome is RunOutcome.PASSED
    assert [(one.stage, one.finding) for one in run.findings] == [
        (REPLAY_STAGE, Finding.PASS),
        (0, Finding.PASS),
        (1, Finding.UNDECIDED),
    ], "copies alone prove that it is not worse, and so few requests of clients do not"


def test_the_verdict_is_what_anyone_recomputes_from_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[RehearsedComparison] = []
    close = RehearsedComparison.close

    def spy(self: RehearsedComparison, until: float) -> bool:
        kept[:] = [self]
        return close(self, until)

    monkeypatch.setattr(RehearsedComparison, "close", spy)
    run = play(EvidenceConfig((*TRAFFIC, Comparison.PAIRED)), ["error-rate=3%"])
    one = kept[0]
    assert one.verdict is not None and run.outcome is RunOutcome.ROLLED_BACK
    blocks = one._ledger.blocks.values()
    assert recompute(one.config, ["AllTraffic"], blocks, one.verdict.stage) == one.verdict


def test_a_rehearsal_finds_errors_as_surely_as_is_promised() -> None:
    runs, config = 100, EvidenceConfig(ERRORS)
    prepared = PreparedScenario(scenario(config), VersionFault(error_rate=0.02))
    found = sum(bool(prepared.run(Random(number)).spoke) for number in range(runs)) / runs
    usual = USUAL.error_rate + USUAL.refusal_rate
    said = chance_to_find(Comparison.ERRORS, config, [ComparedStage(0.1, 120, 40.0)], usual, 0.02)
    assert 0.2 < said < 0.95, "a case that says something"
    assert found == pytest.approx(said, abs=0.15)


def test_the_same_seed_gives_the_same_rehearsal_and_counts_by_stage() -> None:
    config = EvidenceConfig(ERRORS)
    one, other = (rehearse(scenario(config), VersionFault(error_rate=0.1), runs=5, seed=2) for _ in range(2))
    assert one == other
    assert one.faulty is not None
    assert [(each.comparison, each.count) for each in one.faulty.evidence.spoke] == [("errors", 5)]
    assert one.faulty.evidence.stages[0].findings == {"fail": 5}
    assert one.healthy.evidence.stages[0].findings == {"undecided": 5}


def test_a_comparison_that_is_not_drawn_is_left_out_and_says_so() -> None:
    config = EvidenceConfig((*TRAFFIC, Comparison.PAIRED))
    known = frozenset(TRAFFIC)
    left = without_unknown(config, known)
    assert left.compare == TRAFFIC
    before, after = false_alarm_rates(config, 2), false_alarm_rates(left, 2)
    assert {one: pytest.approx(before[one]) for one in TRAFFIC} == after
    said = list(describe_assumptions(config, 300, known))
    assert any("paired is left out" in one for one in said)


def test_texts_are_not_drawn_and_neither_hold_nor_turn_back() -> None:
    config = EvidenceConfig((Comparison.ERRORS, Comparison.TEXT))
    run = play(config)
    assert (run.outcome, run.findings[-1].finding) == (RunOutcome.PASSED, Finding.UNDECIDED)
    assert "text is left out" in scenario(config).assumptions[1]


@pytest.mark.parametrize(
    ("asks", "minimum", "outcome"), [(200, 50, RunOutcome.PASSED), (20, 21, RunOutcome.ROLLED_BACK)]
)
def test_a_judge_is_rehearsed_with_as_many_questions_as_it_may_be_asked(
    asks: int, minimum: int, outcome: RunOutcome
) -> None:
    judging = Judging("http://judge", "m", asks=asks)
    config = EvidenceConfig((Comparison.JUDGE,), judging=judging, minimum=minimum, on_rising=RisingAction.ADVANCE)
    assert play(config).outcome is outcome
    assert any("prefer either version equally often" in said for said in scenario(config).assumptions)


def test_with_nothing_left_to_compare_a_rehearsal_neither_holds_nor_turns_back() -> None:
    one = scenario(EvidenceConfig((Comparison.PAIRED,), copies=30))
    prepared = PreparedScenario(one, HEALTHY)
    assert prepared.comparison is not None
    prepared.comparison = replace(
        prepared.comparison, config=without_unknown(prepared.comparison.config, frozenset())
    )
    run = prepared.run(Random(1))
    assert (run.outcome, run.findings) == (RunOutcome.PASSED, ())


def test_an_assured_stage_ends_once_its_harm_is_ruled_out() -> None:
    config = EvidenceConfig(ERRORS, deadline=7200, assure=Assurance(Harm(errors=0.01), 1000))
    run = play(config, rate=100.0)
    assert run.outcome is RunOutcome.PASSED
    assert run.seconds < 1800, "and not at the deadline"


def test_budgets_choose_the_stages_of_a_rehearsed_rollout() -> None:
    assure = Assurance(Harm(errors=0.05), 2500, exposure=20_000, failed=1000, ramp=True)
    config = EvidenceConfig(ERRORS, deadline=7200, assure=assure)
    deployment = replace(linear(percent(5), 60, 0, alarms=()), evidence=config)
    made = Scenario(version("v1", 2), version("v2", 2), deployment, (), 100.0, USUAL)
    good = PreparedScenario(made, HEALTHY).run(Random(1))
    assert good.outcome is RunOutcome.PASSED
    assert good.seconds < 10 * 60, "20 stages of a minute take longer"


@pytest.mark.parametrize("ramp", [False, True])
def test_a_rehearsal_says_that_it_computes_what_a_harm_takes_without_skipped_stages(ramp: bool) -> None:
    config = EvidenceConfig(ERRORS, assure=Assurance(Harm(errors=0.05), 2500, failed=1000, ramp=ramp))
    said = [one for one in describe_assumptions(config, 300) if one.startswith("ramp: auto")]
    assert [one.endswith("as if no stage were skipped") for one in said] == [True] * ramp
