"""A rollout whose versions are compared: what a verdict does to its stages."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.samples import all_at_once, canary, linear, percent, version
from tests.unit.rollout.test_rollout_evidence import BAKE, SECOND, look, rollout_of, stepped
from tidegate.console.rollout_picture import planned_points
from tidegate.domain.assurance import ASSUMED, Assurance, Harm, HarmResult, PredictionHarm
from tidegate.domain.endpoint import Endpoint, Rollout, VersionRequest
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.evidence import (
    OF_TRAFFIC,
    Comparison,
    ComparisonResult,
    EvidenceAction,
    EvidenceConfig,
    Finding,
    Judging,
    NoDataAction,
    Verdict,
)
from tidegate.domain.fleet import FleetId, Pairing
from tidegate.domain.observation import SAGEMAKER_CAPABILITIES, Capabilities, EnsureFleet, GuardCheck
from tidegate.domain.rollout import Cause, DeploymentConfig, Holdback, Phase
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import commands, desired_state
from tidegate.rollout.plan import compile_plan
from tidegate.rollout.step import RolloutDecision, step
from tidegate.service.views import endpoint_view

CONFIG = EvidenceConfig(deadline=600)
DEADLINE = timedelta(seconds=600)


def baking(config: EvidenceConfig = CONFIG) -> tuple[Endpoint, datetime]:
    """A canary in its first bake, and when that began; the rest of the world saw no evidence yet."""
    deployment = replace(canary(percent(10), 60, 60), evidence=config)
    world = make_updating_world(version("v1", 2), version("v2", 2), deployment)
    world.run(1000, lambda w: w.record is not None and rollout_of(w.record).phase is Phase.BAKING)
    assert world.record is not None
    return world.record, world.instant()


def decided(
    endpoint: Endpoint, finding: Finding | None, began: datetime, now: datetime, stage: int = 0
) -> RolloutDecision:
    verdict = None if finding is None else Verdict(finding, stage, "5 % of 200 requests failed")
    return step(endpoint, look(endpoint, GuardCheck(now, began, now, verdict)), now)


def test_a_pass_lets_the_stage_end_with_its_bake() -> None:
    endpoint, began = baking()
    early = decided(endpoint, Finding.PASS, began, began + BAKE - 2 * SECOND).endpoint
    assert rollout_of(early).stage == 0
    assert rollout_of(decided(endpoint, Finding.PASS, began, began + BAKE + SECOND).endpoint).stage == 1


def test_a_difference_turns_the_rollout_back_at_once_and_the_version_is_not_tried_again() -> None:
    endpoint, began = baking()
    turned = decided(endpoint, Finding.FAIL, began, began + SECOND).endpoint
    rollout = rollout_of(turned)
    assert (rollout.phase, rollout.cause) == (Phase.ROLLING_BACK, Cause.EVIDENCE)
    assert rollout.reason == "Deployment rolled back: v2 differs: 5 % of 200 requests failed."
    assert turned is not None
    idle = replace(turned, rollout=None)
    request = VersionRequest(rollout.new, rollout.deployment, began)
    with pytest.raises(Conflict, match="a comparison or a replay rolled v2 back"):
        commands.begin(idle, request, rollout_id="r2", can=Capabilities(), now=began)


@pytest.mark.parametrize(("finding", "remembered"), [(Finding.FAIL, True), (Finding.NO_DATA, False)])
def test_a_version_that_copies_found_to_differ_is_not_tried_again_although_it_had_no_traffic(
    finding: Finding, remembered: bool
) -> None:
    endpoint, began = baking(replace(CONFIG, compare=(Comparison.PAIRED,), copies=60))
    assert desired_state.new_share(endpoint) == 0
    turned = decided(endpoint, finding, began, began + BAKE + 2 * DEADLINE).endpoint
    rollout = rollout_of(turned)
    assert (rollout.phase, rollout.cause) == (Phase.ROLLING_BACK, Cause.EVIDENCE)
    assert turned is not None
    request = VersionRequest(rollout.new, rollout.deployment, began)
    idle = replace(turned, rollout=None)

    def begin_again(override: bool) -> bool:
        begun = commands.begin(idle, request, rollout_id="r2", can=Capabilities(), now=began, override=override)
        return begun.rollout is not None

    assert begin_again(override=True)
    if remembered:
        with pytest.raises(Conflict, match="a comparison or a replay rolled v2 back"):
            begin_again(override=False)
    else:
        assert begin_again(override=False)


@pytest.mark.parametrize("finding", [None, Finding.NO_DATA])
def test_without_evidence_the_stage_holds_says_so_and_goes_back_at_the_deadline(finding: Finding | None) -> None:
    endpoint, began = baking()
    end = rollout_of(endpoint).bake_until
    assert end is not None
    held = decided(endpoint, finding, began, end + SECOND)
    assert held.endpoint is not None
    assert rollout_of(held.endpoint).stage == 0
    assert held.events[-1].message.startswith("waiting for evidence: ")
    assert held.wake_at == end + DEADLINE
    again = decided(held.endpoint, finding, began, end + 2 * SECOND)
    assert (again.events, again.endpoint) == ((), held.endpoint)
    turned = decided(held.endpoint, finding, began, end + DEADLINE).endpoint
    rollout = rollout_of(turned)
    assert (rollout.phase, rollout.cause) == (Phase.ROLLING_BACK, Cause.EVIDENCE)
    assert rollout.reason is not None
    assert rollout.reason.startswith("Deployment rolled back: no evidence at the deadline: ")
    assert turned is not None
    assert turned.rejected == (), "nothing is known against the version"


@pytest.mark.parametrize(
    ("on_no_data", "phase", "stage"),
    [
        (NoDataAction.ROLLBACK, Phase.ROLLING_BACK, 0),
        (NoDataAction.GATE, Phase.BAKING, 0),
        (NoDataAction.ADVANCE, Phase.BAKING, 0),
    ],
)
def test_what_can_never_be_judged_is_not_waited_for(on_no_data: NoDataAction, phase: Phase, stage: int) -> None:
    """At once, as at the deadline; the bake itself is not cut short, and nothing is held against the version."""
    endpoint, began = baking(replace(CONFIG, on_no_data=on_no_data))
    lacking = ComparisonResult(Comparison.PAIRED, "main", Finding.NO_DATA, 0.0, "", never="no numbers")
    verdict = Verdict(Finding.NO_DATA, 0, "answers have no number", (lacking,))
    now = began + SECOND
    done = step(endpoint, look(endpoint, GuardCheck(now, began, now, verdict)), now)
    rollout = rollout_of(done.endpoint)
    assert (rollout.phase, rollout.stage) == (phase, stage)
    if phase is Phase.ROLLING_BACK:
        assert rollout.reason == "Deployment rolled back: no evidence can come: answers have no number."
        assert done.endpoint is not None and done.endpoint.rejected == ()


def test_a_round_that_fails_does_not_stop_the_deadline() -> None:
    endpoint, began = baking()
    end = rollout_of(endpoint).bake_until
    assert end is not None
    stale = look(endpoint, GuardCheck(began, began, began))
    assert rollout_of(step(endpoint, stale, end + DEADLINE - SECOND).endpoint).phase is Phase.BAKING
    assert rollout_of(step(endpoint, stale, end + DEADLINE).endpoint).phase is Phase.ROLLING_BACK
    assert rollout_of(step(endpoint, look(endpoint, None), end + DEADLINE).endpoint).phase is Phase.ROLLING_BACK


def test_evidence_that_comes_late_lets_the_stage_end() -> None:
    endpoint, began = baking()
    held = decided(endpoint, Finding.NO_DATA, began, began + BAKE + SECOND).endpoint
    assert held is not None
    after = decided(held, Finding.PASS, began, began + BAKE + 60 * SECOND)
    assert rollout_of(after.endpoint).stage == 1
    conditions = [one for one in rollout_of(after.endpoint).conditions if one.type == "HeldByEvidence"]
    assert [one.status for one in conditions] == [False]


@pytest.mark.parametrize(("without", "stage"), [(NoDataAction.ADVANCE, 1), (NoDataAction.GATE, 0)])
def test_at_the_deadline_the_settings_decide(without: NoDataAction, stage: int) -> None:
    endpoint, began = baking(replace(CONFIG, on_no_data=without))
    now = began + BAKE + DEADLINE + SECOND
    after = decided(endpoint, Finding.NO_DATA, began, now).endpoint
    assert (rollout_of(after).phase, rollout_of(after).stage) in ((Phase.BAKING, 0), (Phase.ACTIVATING_TRAFFIC, 1))
    assert rollout_of(after).stage == stage
    assert after is not None
    if without is NoDataAction.GATE:
        promoted = commands.promote(after, "ann", now)
        assert rollout_of(decided(promoted, Finding.NO_DATA, began, now).endpoint).stage == 1


def test_a_gate_waits_for_a_person_whatever_the_time() -> None:
    endpoint, began = baking(replace(CONFIG, action=EvidenceAction.GATE))
    now = began + BAKE + 100 * DEADLINE
    held = decided(endpoint, Finding.FAIL, began, now)
    assert held.endpoint is not None
    assert (rollout_of(held.endpoint).phase, rollout_of(held.endpoint).stage) == (Phase.BAKING, 0)
    assert "waiting for a person to promote or abort: 5 % of 200" in held.events[-1].message
    promoted = commands.promote(held.endpoint, "ann", now)
    assert rollout_of(decided(promoted, Finding.FAIL, began, now).endpoint).stage == 1
    aborted = commands.abort(held.endpoint, "ann", now)
    assert rollout_of(aborted).cause == Cause.ABORTED


@pytest.mark.parametrize("finding", [*Finding, None])
def test_a_report_decides_nothing(finding: Finding | None) -> None:
    endpoint, began = baking(replace(CONFIG, action=EvidenceAction.REPORT))
    assert rollout_of(decided(endpoint, finding, began, began + BAKE + SECOND).endpoint).stage == 1


def test_a_promotion_does_not_keep_a_version_that_differs() -> None:
    endpoint, began = baking()
    promoted = commands.promote(endpoint, "ann", began + SECOND)
    assert (
        rollout_of(decided(promoted, Finding.FAIL, began, began + 2 * SECOND).endpoint).phase is Phase.ROLLING_BACK
    )
    assert rollout_of(decided(promoted, Finding.NO_DATA, began, began + 2 * SECOND).endpoint).stage == 1


def test_a_pass_of_another_stage_is_no_evidence_and_a_failure_always_is() -> None:
    endpoint, began = baking()
    now = began + BAKE + SECOND
    assert rollout_of(decided(endpoint, Finding.PASS, began, now, stage=1).endpoint).stage == 0
    assert rollout_of(decided(endpoint, Finding.FAIL, began, now, stage=1).endpoint).phase is Phase.ROLLING_BACK


def test_a_paused_rollout_turns_back_for_a_difference_and_not_for_its_deadline() -> None:
    endpoint, began = baking()
    now = began + BAKE + DEADLINE + SECOND
    paused = commands.pause(endpoint, "ann", began + SECOND)
    assert rollout_of(decided(paused, Finding.NO_DATA, began, now).endpoint).phase is Phase.BAKING
    assert rollout_of(decided(paused, Finding.FAIL, began, now).endpoint).phase is Phase.ROLLING_BACK


def test_the_last_stage_has_nothing_to_compare_and_passes_by_itself() -> None:
    endpoint, began = baking()
    last = replace(endpoint, rollout=replace(rollout_of(endpoint), stage=1))
    seen = look(last, GuardCheck(began + BAKE + SECOND, began, began + BAKE + SECOND, None))
    after = step(last, seen, began + BAKE + SECOND).endpoint
    assert not [one for one in rollout_of(after).conditions if one.type == "HeldByEvidence"]
    assert (
        rollout_of(decided(last, Finding.FAIL, began, began + SECOND, stage=0).endpoint).phase
        is Phase.ROLLING_BACK
    )


def test_a_hole_in_the_counts_restarts_the_bake_also_without_alarms() -> None:
    endpoint, began = baking()
    rollout = rollout_of(endpoint)
    bare = replace(endpoint, rollout=replace(rollout, plan=replace(rollout.plan, alarms=())))
    now = began + BAKE + SECOND
    seen = look(bare, GuardCheck(now, began + 30 * SECOND, now, Verdict(Finding.PASS, 0, "")))
    assert [one.kind for one in step(bare, seen, now).events][-1] == "rollout.BakeRestarted"


def plan_of(deployment: DeploymentConfig, can: Capabilities) -> None:
    compile_plan(version("v1", 2), version("v2", 2), replace(deployment, evidence=CONFIG), can)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(Invalid, match="side by side"):
        plan_of(all_at_once(), Capabilities())
    with pytest.raises(Invalid, match="this target does not count"):
        plan_of(canary(percent(10), 60), SAGEMAKER_CAPABILITIES)
    plan = compile_plan(None, version("v1", 2), replace(canary(percent(10), 60), evidence=CONFIG), Capabilities())
    assert plan.evidence is None, "a first version is compared with nothing"


PAIRS = EvidenceConfig(
    compare=(Comparison.ERRORS, Comparison.PAIRED), slices=("country",), copies=45, deadline=600
)


def old_and_new(endpoint: Endpoint) -> tuple[FleetId, FleetId]:
    rollout = rollout_of(endpoint)
    assert rollout.old is not None
    old, new = rollout.old.generation, rollout.new.generation
    return FleetId(endpoint.name, old, "AllTraffic"), FleetId(endpoint.name, new, "AllTraffic")


def test_copies_come_before_traffic_and_stop_with_the_rollout() -> None:
    endpoint, began = baking(PAIRS)
    old, new = old_and_new(endpoint)
    plan = rollout_of(endpoint).plan
    assert [(stage.share, stage.bake) for stage in plan.stages] == [(0, 45), (1_000, 60), (10_000, 60)]
    assert desired_state.new_share(endpoint) == 0
    fleets = desired_state.fleets(endpoint)
    assert fleets[old].paired == Pairing(new, ("country",))
    assert fleets[new].paired is None
    held = decided(endpoint, Finding.NO_DATA, began, began + BAKE)
    assert rollout_of(held.endpoint).stage == 0, "missing evidence moves no traffic"
    shifted = decided(endpoint, Finding.PASS, began, began + BAKE).endpoint
    assert shifted is not None and desired_state.new_share(shifted) == 1_000
    turned = decided(endpoint, Finding.FAIL, began, began + SECOND).endpoint
    assert turned is not None and rollout_of(turned).phase is Phase.ROLLING_BACK
    assert all(spec.paired is None for spec in desired_state.fleets(turned).values())


def test_a_copy_in_hand_is_no_request_without_an_answer() -> None:
    """The proxy counts copies in flight as well, and a slow model has one in hand at nearly every look."""
    endpoint, began = baking(PAIRS)
    now = began + BAKE
    evidence = GuardCheck(now, began, now, verdict=Verdict(Finding.PASS, 0, "", ()))
    after = stepped(endpoint, look(endpoint, evidence, answered=0, in_flight=1), now)
    assert desired_state.new_share(after) == 1_000


def test_a_rollout_of_copies_ends_as_any_other() -> None:
    deployment = replace(canary(percent(10), 60, 60), evidence=PAIRS)
    world = make_updating_world(version("v1", 2), version("v2", 2), deployment)
    world.run(2000, lambda w: w.record is not None and w.record.rollout is None)
    assert world.record is not None and world.record.serving is not None
    assert world.record.serving.config_name == "v2"
    assert all(spec.paired is None for spec in desired_state.fleets(world.record).values())


def test_a_fleet_that_copies_otherwise_than_wanted_is_told() -> None:
    endpoint, began = baking(PAIRS)
    old, _ = old_and_new(endpoint)
    seen = look(endpoint, GuardCheck(began, began, began))
    assert seen.fleets is not None
    wanted = desired_state.fleets(endpoint)
    fleets = {id: replace(status, paired=wanted[id].paired) for id, status in seen.fleets.items()}

    def told() -> list[FleetId]:
        actions = step(endpoint, replace(seen, fleets=fleets), began).actions
        return [one.spec.id for one in actions if isinstance(one, EnsureFleet)]

    assert told() == []
    fleets[old] = replace(fleets[old], paired=None)
    assert told() == [old]


def test_copies_can_be_left_to_the_stages() -> None:
    deployment = replace(canary(percent(10), 60), evidence=replace(PAIRS, copies=0))
    plan = compile_plan(version("v1", 2), version("v2", 2), deployment, Capabilities())
    assert [stage.share for stage in plan.stages] == [1_000, 10_000]


@pytest.mark.parametrize(
    ("compare", "can", "says"),
    [
        (
            Comparison.PAIRED,
            replace(Capabilities(), compares=frozenset(OF_TRAFFIC)),
            "it makes no copies of requests",
        ),
        (Comparison.FEATURES, Capabilities(), "compares the stages of pipelines"),
    ],
)
def test_pairs_that_cannot_be_had_are_refused(compare: Comparison, can: Capabilities, says: str) -> None:
    deployment = replace(canary(percent(10), 60), evidence=EvidenceConfig(compare=(compare,)))
    with pytest.raises(Invalid, match=says):
        compile_plan(version("v1", 2), version("v2", 2), deployment, can)


ASSURED = EvidenceConfig(deadline=600, assure=Assurance(Harm(errors=0.005), 2500, exposure=5000))
RULED_OUT, LACKING = ASSUMED, replace(ASSUMED, excluded=False)


def seen_with(endpoint: Endpoint, began: datetime, now: datetime, verdict: Verdict | None) -> RolloutDecision:
    return step(endpoint, look(endpoint, GuardCheck(now, began, now, verdict)), now)


def known(*harms: HarmResult, exposed: int = 100, mismatch: str = "") -> Verdict:
    return Verdict(Finding.PASS, 0, "so far", harms=harms, exposed=exposed, mismatch=mismatch)


def test_no_larger_share_begins_before_every_harm_is_ruled_out() -> None:
    endpoint, began = baking(ASSURED)
    after = began + BAKE + SECOND
    for verdict in (known(), known(LACKING), known(RULED_OUT, LACKING), None, replace(known(RULED_OUT), stage=1)):
        held = rollout_of(seen_with(endpoint, began, after, verdict).endpoint)
        assert (held.stage, held.phase) == (0, Phase.BAKING)
    held = rollout_of(seen_with(endpoint, began, after, known(LACKING)).endpoint)
    assert [one.message for one in held.conditions if one.type == "HeldByEvidence"] == [
        "waiting until harm is ruled out"
    ]
    assert rollout_of(seen_with(endpoint, began, after, known(RULED_OUT, RULED_OUT)).endpoint).stage == 1


def test_smaller_shares_do_not_wait_for_an_assurance() -> None:
    endpoint, began = baking(replace(ASSURED, assure=Assurance(Harm(errors=0.005), 2500)))
    rollout = rollout_of(endpoint)
    small = replace(rollout.plan.stages[0], share=2000)
    plan = replace(rollout.plan, stages=(rollout.plan.stages[0], small, rollout.plan.stages[1]))
    early = replace(endpoint, rollout=replace(rollout, plan=plan))
    assert rollout_of(seen_with(early, began, began + BAKE + SECOND, known(LACKING)).endpoint).stage == 1


@pytest.mark.parametrize("lack", [known(LACKING), known(RULED_OUT, mismatch="too many requests")])
def test_at_the_deadline_the_settings_say_what_follows_without_an_assurance(lack: Verdict) -> None:
    endpoint, began = baking(ASSURED)
    before = seen_with(endpoint, began, began + BAKE + DEADLINE - 2 * SECOND, lack).endpoint
    assert rollout_of(before).phase is Phase.BAKING
    turned = rollout_of(seen_with(endpoint, began, began + BAKE + DEADLINE + SECOND, lack).endpoint)
    assert (turned.phase, turned.cause) == (Phase.ROLLING_BACK, Cause.EVIDENCE)
    gate, began = baking(replace(ASSURED, on_no_data=NoDataAction.GATE))
    waits = rollout_of(seen_with(gate, began, began + BAKE + DEADLINE + SECOND, lack).endpoint)
    assert waits.phase is Phase.BAKING
    assert "waiting for a person" in next(one.message for one in waits.conditions if one.type == "HeldByEvidence")


def test_a_version_that_has_had_the_requests_that_it_may_have_waits_no_longer() -> None:
    endpoint, began = baking(ASSURED)
    spent = known(LACKING, exposed=5000)
    turned = seen_with(endpoint, began, began + SECOND, spent).endpoint
    assert rollout_of(turned).phase is Phase.ROLLING_BACK, "also in the bake"
    assert "harm not ruled out within the requests and failures that the settings allow" in (
        rollout_of(turned).reason or ""
    )
    assert turned is not None and not turned.rejected, "nothing was found against the version"
    fewer = rollout_of(
        seen_with(endpoint, began, began + SECOND, known(LACKING, exposed=4999)).endpoint or endpoint
    )
    assert fewer.phase is Phase.BAKING
    done = rollout_of(
        seen_with(endpoint, began, began + SECOND, known(RULED_OUT, exposed=9999)).endpoint or endpoint
    )
    assert done.phase is Phase.BAKING


def test_a_difference_rolls_back_an_assured_version() -> None:
    endpoint, began = baking(ASSURED)
    failed = replace(known(RULED_OUT), finding=Finding.FAIL)
    assert rollout_of(seen_with(endpoint, began, began + SECOND, failed).endpoint).phase is Phase.ROLLING_BACK


def test_a_person_who_promotes_overrides_the_assurance_and_that_is_recorded() -> None:
    endpoint, began = baking(ASSURED)
    promoted = commands.promote(endpoint, "ann", began + SECOND)
    first = seen_with(promoted, began, began + 2 * SECOND, known(LACKING))
    said = [one.message for one in first.events if one.kind == "rollout.AssuranceOverridden"]
    assert said == ["the assurance is overridden after stage 1, by ann: so far"]
    assert rollout_of(first.endpoint).stage == 1
    assured = seen_with(promoted, began, began + 2 * SECOND, known(RULED_OUT))
    assert rollout_of(assured.endpoint).stage == 1
    assert not [one for one in assured.events if one.kind == "rollout.AssuranceOverridden"]


def test_a_first_stage_above_the_share_is_refused_unless_copies_and_labels_can_give_the_assurance() -> None:
    half = replace(canary(percent(50), 60, 60), evidence=ASSURED)
    with pytest.raises(
        Invalid, match="the first stage has 50 % of the traffic, and harm is to be ruled out before 25 %"
    ):
        compile_plan(version("v1", 2), version("v2", 2), half, Capabilities())
    by_pairs = Assurance(Harm(predictions=PredictionHarm(bias=93)), 2500)
    config = EvidenceConfig((Comparison.ERRORS, Comparison.PAIRED), assure=by_pairs)
    plan = compile_plan(version("v1", 2), version("v2", 2), replace(half, evidence=config), Capabilities())
    assert [one.share for one in plan.stages] == [0, 5000, 10000]


RAMPED = replace(ASSURED, assure=Assurance(Harm(errors=0.005), 2500, exposure=5000, failed=50, ramp=True))


def ramping() -> tuple[Endpoint, datetime]:
    """In the first bake of a linear rollout in steps of 5 %, whose stages are chosen."""
    world = make_updating_world(
        version("v1", 2), version("v2", 2), replace(linear(percent(5), 60, 60), evidence=RAMPED)
    )
    world.run(1000, lambda w: w.record is not None and rollout_of(w.record).phase is Phase.BAKING)
    assert world.record is not None
    since = rollout_of(world.record).phase_since
    assert since is not None
    return world.record, since


@pytest.mark.parametrize(
    ("room", "harm", "stage"),
    [
        (104, LACKING, 0),  # 10 % of 10 a second, and half more, for 70 seconds are 105
        (105, LACKING, 1),
        (209, LACKING, 2),
        (10**6, LACKING, 4),  # 25 %
        (0, RULED_OUT, 19),
    ],
)
def test_a_budget_chooses_the_largest_stage_that_it_has_room_for(
    room: float, harm: HarmResult, stage: int
) -> None:
    endpoint, began = ramping()
    verdict = replace(known(harm), room=room, rate=10.0)
    after = seen_with(endpoint, began, began + BAKE + SECOND, verdict).endpoint
    assert rollout_of(after).stage == stage
    if not stage:
        assert [one.message for one in rollout_of(after).conditions if one.status] == [
            "waiting until the budget has room for a larger share"
        ]


def test_a_budget_chooses_nothing_on_what_is_not_known() -> None:
    endpoint, began = ramping()
    told = replace(known(LACKING), room=10.0**6, rate=10.0)
    for verdict in (None, replace(told, rate=0.0), replace(told, room=None), replace(told, stage=1)):
        assert rollout_of(seen_with(endpoint, began, began + BAKE + SECOND, verdict).endpoint).stage == 0


def test_a_budget_chooses_nothing_on_a_failure_of_another_stage() -> None:
    endpoint, began = ramping()
    reported = replace(RAMPED, action=EvidenceAction.REPORT)
    rollout = rollout_of(endpoint)
    later = replace(rollout, stage=1, plan=replace(rollout.plan, evidence=reported))
    failed = replace(known(LACKING), finding=Finding.FAIL, stage=0, room=10.0**6, rate=10.0)
    endpoint = replace(endpoint, rollout=later)
    assert rollout_of(seen_with(endpoint, began, began + BAKE + SECOND, failed).endpoint or endpoint).stage == 1


def test_what_the_budgets_chose_is_shown_with_what_they_had_room_for() -> None:
    endpoint, began = ramping()
    verdict = replace(known(LACKING), room=209.0, rate=10.0)
    seen = look(endpoint, GuardCheck(began + BAKE, began, began + BAKE + SECOND, verdict))
    shown = endpoint_view(endpoint, seen, ())["rollout"]
    assert isinstance(shown, dict) and shown["share"]["next"] == 15.0
    assert planned_points(rollout_of(endpoint)) == []
    events = seen_with(endpoint, began, began + BAKE + SECOND, verdict).events
    assert [one.data["room"] for one in events if one.kind == "rollout.StageChosen"] == [209.0]


def test_a_budget_that_is_spent_in_a_pause_rolls_back() -> None:
    endpoint, began = ramping()
    paused = commands.pause(endpoint, "ann", began + SECOND)
    spent = replace(known(LACKING), failed=50, room=0.0, rate=10.0)
    turned = rollout_of(seen_with(paused, began, began + 2 * SECOND, spent).endpoint)
    assert turned.phase is Phase.ROLLING_BACK and "the settings allow" in (turned.reason or "")


@pytest.mark.parametrize(
    ("room", "phase"),
    [(53.0, Phase.ACTIVATING_TRAFFIC), (52.0, Phase.ROLLING_BACK), (None, Phase.PROVISIONING)],
)
def test_a_stage_that_lost_its_instances_needs_room_to_run_again(room: float | None, phase: Phase) -> None:
    endpoint, began = ramping()
    lost = replace(rollout_of(endpoint), phase=Phase.PROVISIONING, bake_until=None, losses=1, answers_before=None)
    endpoint = desired_state.route(replace(endpoint, rollout=lost), 0)
    # 5 % of 10 requests a second, and half as many again, are 52.5 in 70 seconds.
    verdict = replace(known(LACKING), room=room, rate=10.0)
    assert rollout_of(seen_with(endpoint, began, began + SECOND, verdict).endpoint or endpoint).phase is phase


def test_a_bake_that_was_not_counted_needs_room_to_run_again() -> None:
    endpoint, began = ramping()
    now = began + BAKE + SECOND
    for room, phase in ((53.0, Phase.BAKING), (52.0, Phase.ROLLING_BACK)):
        seen = look(
            endpoint, GuardCheck(now, began + 9 * SECOND, now, replace(known(LACKING), room=room, rate=10.0))
        )
        assert rollout_of(step(endpoint, seen, now).endpoint).phase is phase


@pytest.mark.parametrize("ramp", [False, True])
def test_no_holdback_begins_before_harm_is_ruled_out_whatever_its_share(ramp: bool) -> None:
    asked = Assurance(Harm(errors=0.005), 6000, exposure=5000, ramp=ramp)
    steps = linear(percent(10), 60, 0) if ramp else canary(percent(10), 60, 0)
    held = replace(steps, holdback=Holdback(500 if ramp else 5000, 60), evidence=replace(ASSURED, assure=asked))
    if ramp:
        held = replace(held, evidence=replace(ASSURED, assure=replace(asked, before=9500)))
    world = make_updating_world(version("v1", 2), version("v2", 2), held)
    world.run(1000, lambda w: w.record is not None and rollout_of(w.record).phase is Phase.BAKING)
    assert world.record is not None
    rollout = rollout_of(world.record)
    last = next(n for n, one in enumerate(rollout.plan.stages) if one.holdback) - 1
    began = rollout.phase_since
    assert began is not None
    endpoint = replace(world.record, rollout=replace(rollout, stage=last))
    endpoint = desired_state.route(endpoint, rollout.plan.stages[last].share)
    for harm, stage in ((LACKING, last), (RULED_OUT, last + 1)):
        verdict = replace(known(harm), stage=last, room=10.0**9 if ramp else None, rate=10.0 if ramp else 0.0)
        after = seen_with(endpoint, began, began + BAKE + SECOND, verdict).endpoint
        assert rollout_of(after or endpoint).stage == stage


def test_a_version_that_failed_as_many_requests_as_it_may_is_rolled_back() -> None:
    endpoint, began = ramping()
    spent = replace(known(LACKING), failed=50, room=0.0, rate=10.0)
    turned = seen_with(endpoint, began, began + SECOND, spent).endpoint
    assert (rollout_of(turned).phase, rollout_of(turned).cause) == (Phase.ROLLING_BACK, Cause.EVIDENCE)
    calm = seen_with(endpoint, began, began + SECOND, replace(spent, failed=49)).endpoint
    assert rollout_of(calm or endpoint).phase is Phase.BAKING


def test_a_spent_budget_is_the_reason_where_a_difference_is_only_reported() -> None:
    endpoint, began = ramping()
    rollout = rollout_of(endpoint)
    reported = replace(rollout.plan, evidence=replace(RAMPED, action=EvidenceAction.REPORT))
    endpoint = replace(endpoint, rollout=replace(rollout, plan=reported))
    spent = replace(known(LACKING), finding=Finding.FAIL, failed=50, room=0.0, rate=10.0)
    turned = rollout_of(seen_with(endpoint, began, began + SECOND, spent).endpoint)
    assert "within the requests and failures that the settings allow" in (turned.reason or "")


@pytest.mark.parametrize("paused", [False, True])
def test_a_difference_that_only_holds_is_no_reason_of_an_overdue_assurance(paused: bool) -> None:
    config = EvidenceConfig(
        (Comparison.ERRORS, Comparison.JUDGE),
        deadline=600,
        assure=ASSURED.assure,
        judging=Judging("http://j", "m"),
    )
    endpoint, began = baking(config)
    first = replace(rollout_of(endpoint), stage=1, bake_until=began + BAKE)  # after the copies
    endpoint = desired_state.route(replace(endpoint, rollout=first), 1000)
    if paused:
        endpoint = commands.pause(endpoint, "ann", began + SECOND)
    worse = ComparisonResult(Comparison.JUDGE, "AllTraffic", Finding.FAIL, 2.0, "old preferred", (0, 0, 0, 0))
    verdict = replace(known(LACKING), stage=1, finding=Finding.FAIL, results=(worse,))
    after = seen_with(endpoint, began, began + BAKE + DEADLINE + SECOND, verdict).endpoint or endpoint
    if paused:
        assert rollout_of(after).phase is Phase.BAKING
    else:
        assert "no evidence at the deadline" in (rollout_of(after).reason or "") and not after.rejected


def test_labels_of_people_end_a_hold_by_a_judge_alone_or_roll_back() -> None:
    judging = Judging("http://j", "m", labels=100)
    endpoint, began = baking(EvidenceConfig((Comparison.JUDGE,), copies=0, judging=judging))
    over = began + BAKE + SECOND

    def ended(finding: Finding, by_people: bool) -> Rollout:
        result = ComparisonResult(Comparison.JUDGE, "AllTraffic", finding, 2.0, "", by_people=by_people)
        verdict = Verdict(finding, 0, "differs", (result,))
        return rollout_of(seen_with(endpoint, began, over, verdict).endpoint or endpoint)

    held = ended(Finding.FAIL, by_people=False)
    assert (held.phase, held.stage) == (Phase.BAKING, 0)
    assert ended(Finding.UNDECIDED, by_people=True).stage == 1
    assert ended(Finding.FAIL, by_people=True).phase not in (Phase.BAKING, Phase.PROVISIONING)


def test_a_person_who_promotes_goes_on_by_one_stage() -> None:
    endpoint, began = ramping()
    promoted = commands.promote(endpoint, "ann", began + SECOND)
    verdict = replace(known(LACKING), room=10.0**6, rate=10.0)
    assert rollout_of(seen_with(promoted, began, began + 2 * SECOND, verdict).endpoint).stage == 1


@pytest.mark.parametrize(
    ("deployment", "can", "why"),
    [
        (canary(percent(5), 60), Capabilities(), "those of strategy linear"),
        (linear(percent(5), 60), Capabilities(whole_instances=True), "whole instances only"),
        (linear(percent(5), 60), Capabilities(counted_after=60), "up to 60 s later"),
        (replace(linear(percent(5), 60), stick="X-Client"), Capabilities(), "clients are counted"),
    ],
)
def test_stages_are_not_chosen_where_no_budget_could_be_kept(
    deployment: DeploymentConfig, can: Capabilities, why: str
) -> None:
    with pytest.raises(Invalid, match=f"ramp: auto cannot be kept here: .*{why}.*; write ramp: fixed"):
        compile_plan(version("v1", 20), version("v2", 20), replace(deployment, evidence=RAMPED), can)
