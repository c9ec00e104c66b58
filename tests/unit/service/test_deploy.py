"""Deploying a wish, and what people do to its rollout, over a transaction in memory and the real machine."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.memory_store import MemoryTx
from tests.metric_alarm import metric_alarm
from tests.samples import complete_evidence
from tidegate.domain.access import Caller, Means, Role
from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import Endpoint, EndpointConfig, ProductionVariant
from tidegate.domain.errors import AlreadyExists, Conflict, InProgress, Invalid, NotFound, TidegateError
from tidegate.domain.finding import Finding
from tidegate.domain.observation import Capabilities, FleetStatus, Observation
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.replay import ReplayResult
from tidegate.domain.rollout import BlueGreen, CapacitySize, DeploymentConfig, Phase, SizeType, TrafficRouting
from tidegate.domain.targets import TargetTable
from tidegate.reconcile.engine import save
from tidegate.reconcile.unsaved_rollbacks import LoadedEndpoint
from tidegate.rollout import approval_rule, desired_state
from tidegate.rollout.step import step
from tidegate.service import endpoints, rollouts
from tidegate.service.deploy import DeployOptions, DeployOutcome, deploy
from tidegate.service.record_kinds import ALARM, CONFIG, ENDPOINT, HISTORY, MODEL, TAGS, USAGE
from tidegate.service.tags import read
from tidegate.service.views import EndpointDocument, alarms_of, endpoint_view

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = START + timedelta(hours=1)
CAN = Capabilities()
TARGETS = TargetTable()
ANN = DeployOptions("ann")
CANARY = DeploymentConfig(
    BlueGreen(TrafficRouting.CANARY, wait=600, size=CapacitySize(SizeType.CAPACITY_PERCENT, 10)),
    alarms=("errors",),
)
ERRORS = metric_alarm(START)
BOB = Caller("bob", Role.ADMIN, Means.SESSION)


def wish(
    version: str, deployment: DeploymentConfig = CANARY, alarms: tuple[Alarm, ...] = (ERRORS,)
) -> DesiredDeployment:
    model = Model(f"fraud-{version}", (ContainerDefinition("tidegate/xgboost", f"file:///{version}.ubj"),), START)
    config = EndpointConfig(f"fraud-{version}", (ProductionVariant("main", model.name, 2, "local"),), START)
    return DesiredDeployment("fraud", (model,), config, deployment, alarms, {"team": "risk"})


def known(container: ContainerDefinition) -> None:
    if container.image != "tidegate/xgboost":
        raise Invalid(f"image {container.image} is not known: there is tidegate/xgboost")


def run(tx: MemoryTx, asked: DesiredDeployment, how: DeployOptions = ANN, now: datetime = START) -> DeployOutcome:
    done = deploy(tx, asked, how, runnable=known, rollout_id=f"rollout-{now}", targets=TARGETS, now=now)
    assert (done.endpoint, done.config) == ("fraud", asked.config.name)
    return done.change


def endpoint(tx: MemoryTx) -> Endpoint:
    saved = tx.get(ENDPOINT, "fraud")
    assert saved is not None
    return saved.body


def look(tx: MemoryTx, alarm: AlarmState = AlarmState.OK, now: datetime = START) -> Observation:
    """A world in which everything wanted is there, and judged."""
    body = endpoint(tx)
    fleets = {id: FleetStatus(id, spec.count, spec.count) for id, spec in desired_state.fleets(body).items()}
    names = body.rollout.deployment.alarms if body.rollout else ()
    return Observation(
        fleets,
        desired_state.traffic(body),
        dict.fromkeys(("errors", *names), alarm),
        complete_evidence(now, body.rollout.stage if body.rollout else 0),
    )


def settle(tx: MemoryTx, phase: Phase | None = None, alarm: AlarmState = AlarmState.OK) -> None:
    """Steps until the rollout is in ``phase``, or over. Bob approves it where it waits for that."""
    now = START
    for _ in range(50):
        body = endpoint(tx)
        if body.rollout is None or body.rollout.phase is phase:
            return
        now = max(now, body.rollout.phase_since or now)
        if approval_rule.is_held(body.rollout):
            rollouts.promote(tx, "fraud", "bob", now, purpose=rollouts.Purpose(caller=BOB))
            continue
        seen = replace(look(tx, alarm, now), replay={"AllTraffic": ReplayResult(Finding.PASS, "as assumed")})
        decision = step(body, seen, now)
        assert decision.endpoint is not None
        if decision.endpoint == body:
            now = max(now, decision.wake_at or now)
        saved = tx.get(ENDPOINT, "fraud")
        assert saved is not None
        save(tx, LoadedEndpoint(body, saved.version, {}, body), decision, now)
    raise AssertionError("the rollout does not end")


def asked_by(tx: MemoryTx, kind: str) -> list[str]:
    return [event.message for line in tx.lines for event in line.events if event.kind == kind]


def view(tx: MemoryTx, seen: Observation | None = None) -> EndpointDocument:
    return endpoint_view(endpoint(tx), seen, alarms_of(tx, endpoint(tx)))


@pytest.fixture
def tx() -> MemoryTx:
    """Version 1 serves."""
    tx = MemoryTx()
    assert run(tx, wish("1")) is DeployOutcome.CREATED
    settle(tx)
    return tx


def test_a_first_deploy_makes_everything(tx: MemoryTx) -> None:
    assert {(line.kind, line.name) for line in tx.lines if line.version == 1} == {
        (MODEL.name, "fraud-1"),
        (CONFIG.name, "fraud-1"),
        (ALARM.name, "errors"),
        (ENDPOINT.name, "fraud"),
        (HISTORY.name, "fraud"),
        (USAGE.name, "fraud"),
        (TAGS.name, "endpoint/fraud"),
    }
    assert endpoint(tx).serving and not endpoint(tx).failed
    assert read(tx, ENDPOINT, "fraud") == {"team": "risk"}
    assert asked_by(tx, "create") == ['creation with config "fraud-1" asked for by ann']


def test_the_same_wish_again_changes_nothing(tx: MemoryTx) -> None:
    lines = len(tx.lines)
    plain = replace(wish("1"), tags={})
    assert run(tx, plain, now=LATER) is DeployOutcome.UNCHANGED
    assert len(tx.lines) == lines


def test_an_alarm_that_only_changed_its_state_is_the_same_alarm(tx: MemoryTx) -> None:
    tx.put(ALARM, "errors", replace(ERRORS, state=AlarmState.OK, state_changed_at=LATER), expect=None, now=LATER)
    lines = len(tx.lines)
    run(tx, replace(wish("1"), tags={}), now=LATER)
    assert len(tx.lines) == lines
    run(tx, replace(wish("1"), alarms=(replace(ERRORS, threshold=0.1),)), now=LATER)
    saved = tx.get(ALARM, "errors")
    assert saved and (saved.body.threshold, saved.body.state) == (0.1, AlarmState.OK)


def test_a_new_wish_is_an_update(tx: MemoryTx) -> None:
    assert run(tx, wish("2")) is DeployOutcome.UPDATED
    rollout = endpoint(tx).rollout
    assert rollout and rollout.old and rollout.old.config_name == "fraud-1"
    assert [stage.share for stage in rollout.plan.stages] == [1000, 10_000]
    assert run(tx, wish("2")) is DeployOutcome.UNCHANGED


def test_an_update_under_way_gives_way_only_when_told_to(tx: MemoryTx) -> None:
    run(tx, wish("2"))
    lines = len(tx.lines)
    with pytest.raises(InProgress, match="or supersede it"):
        run(tx, wish("3"))
    assert len(tx.lines) == lines
    assert run(tx, wish("3"), DeployOptions("bob", supersede=True)) is DeployOutcome.SUPERSEDED
    rollout = endpoint(tx).rollout
    assert rollout and rollout.successor and rollout.successor.wanted.version.config_name == "fraud-3"
    assert run(tx, wish("3")) is DeployOutcome.UNCHANGED
    settle(tx)
    serving = endpoint(tx).serving
    assert serving and serving.config_name == "fraud-3"


def test_what_an_alarm_turned_down_needs_an_override(tx: MemoryTx) -> None:
    run(tx, wish("2"))
    settle(tx, Phase.BAKING)
    settle(tx, alarm=AlarmState.ALARM)
    last = endpoint(tx).last
    assert last and last.phase is Phase.ROLLED_BACK
    with pytest.raises(Conflict, match="override"):
        run(tx, wish("2"))
    assert run(tx, wish("2"), DeployOptions("ann", override=True)) is DeployOutcome.UPDATED


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (wish("2", alarms=(), deployment=replace(CANARY, alarms=("none",))), NotFound),
        (wish("2", alarms=(replace(ERRORS, period=7),)), Invalid),
        (replace(wish("2"), models=()), NotFound),
        (replace(wish("2"), models=(Model("fraud-2", (ContainerDefinition("unknown"),), START),)), Invalid),
        (replace(wish("2"), models=(Model("fraud-2", (), START),)), Invalid),
        (replace(wish("2"), config=EndpointConfig("fraud-2", (), START)), Invalid),
        (replace(wish("2"), config=replace(wish("2").config, name="fraud-1")), AlreadyExists),
        (replace(wish("2"), models=(replace(wish("2").models[0], name="fraud-1"),)), AlreadyExists),
        (replace(wish("2"), tags={"aws:x": "y"}), Invalid),
    ],
)
def test_a_wish_that_cannot_be_leaves_the_endpoint_alone(
    tx: MemoryTx, asked: DesiredDeployment, error: type[TidegateError]
) -> None:
    """Records of the wish that were written before the error go with the transaction."""
    before = tx.get(ENDPOINT, "fraud")
    with pytest.raises(error):
        deploy(tx, asked, ANN, runnable=known, rollout_id="r", targets=TARGETS, now=LATER)
    assert tx.get(ENDPOINT, "fraud") == before


def test_a_first_creation_and_a_deletion_take_no_update() -> None:
    tx = MemoryTx()
    run(tx, wish("1"))
    with pytest.raises(InProgress):
        run(tx, wish("2"))
    with pytest.raises(Conflict, match="delete it instead"):
        run(tx, wish("2"), DeployOptions("ann", supersede=True))
    settle(tx)
    endpoints.delete_endpoint(tx, "fraud", LATER, "ann")
    with pytest.raises(InProgress, match="being deleted"):
        run(tx, wish("1"))


def test_a_deletion_can_be_forced_into_an_update(tx: MemoryTx) -> None:
    run(tx, wish("2"))
    with pytest.raises(InProgress):
        endpoints.delete_endpoint(tx, "fraud", LATER)
    endpoints.delete_endpoint(tx, "fraud", LATER, "ann", force=True)
    assert endpoint(tx).deleting
    assert asked_by(tx, "delete") == ["deletion asked for by ann"]


def test_people_steer_a_rollout_and_the_journal_says_who(tx: MemoryTx) -> None:
    run(tx, wish("2"))
    settle(tx, Phase.BAKING)
    rollouts.pause(tx, "fraud", "ann", LATER)
    assert view(tx)["rollout"]["paused"] == {"since": LATER.isoformat(), "by": "ann"}  # type: ignore[index]
    rollouts.resume(tx, "fraud", "bob", LATER)
    rollouts.promote(tx, "fraud", "bob", LATER)
    rollout = endpoint(tx).rollout
    assert rollout and rollout.skips_bake and not rollout.promote and rollout.pause is None
    rollouts.abort(tx, "fraud", "cid", LATER)
    assert [asked_by(tx, what) for what in ("pause", "resume", "promote", "abort")] == [
        ["pause asked for by ann"],
        ["resume asked for by bob"],
        ["promote asked for by bob in stage 1 of 2"],
        ["abort asked for by cid"],
    ]
    settle(tx)
    rollouts.retry(tx, "fraud", "cid", override=False, rollout_id="again", can=CAN, now=LATER)
    rollout = endpoint(tx).rollout
    assert rollout and (rollout.id, rollout.new.config_name) == ("again", "fraud-2")


def test_steering_needs_a_rollout_and_an_endpoint(tx: MemoryTx) -> None:
    for what in (rollouts.pause, rollouts.resume, rollouts.abort, rollouts.promote):
        with pytest.raises(Conflict):
            what(tx, "fraud", "ann", LATER)
        with pytest.raises(NotFound):
            what(tx, "churn", "ann", LATER)
    with pytest.raises(Conflict):
        rollouts.retry(tx, "fraud", "ann", override=False, rollout_id="r", can=CAN, now=LATER)


def test_a_view_of_an_endpoint_at_rest(tx: MemoryTx) -> None:
    shown = view(tx, look(tx))
    assert (shown["name"], shown["status"], shown["config"], shown["rollout"]) == (
        "fraud",
        "InService",
        "fraud-1",
        None,
    )
    assert shown["fleets"] == [
        {
            "fleet": f"fraud/{endpoint(tx).generation}/main",
            "side": "serving",
            "variant": "main",
            "copies": None,
            "config": "fraud-1",
            "share": 100.0,
            "desired": 2,
            "ready": 2,
            "starting": 0,
            "draining": 0,
            "failure": None,
            "devices": {},
            "architecture": {"mode": "single", "containers": [{"name": "primary", "image": "tidegate/xgboost"}]},
        }
    ]
    assert shown["alarms"] == [
        {
            "name": "errors",
            "state": "INSUFFICIENT_DATA",
            "reason": "Unchecked: Initial alarm creation",
            "since": None,
        }
    ]


def test_a_view_of_a_rollout_shows_both_sides(tx: MemoryTx) -> None:
    run(tx, wish("2"))
    settle(tx, Phase.BAKING)
    shown = view(tx, look(tx))
    rollout = shown["rollout"]
    assert isinstance(rollout, dict)
    assert (rollout["from"], rollout["to"], rollout["phase"]) == ("fraud-1", "fraud-2", "Baking")
    assert (rollout["stage"], rollout["stages"]) == (1, 2)
    assert rollout["share"] == {"now": 10.0, "next": 100.0}
    assert rollout["bake_until"] is not None
    fleets = shown["fleets"]
    assert isinstance(fleets, list)
    assert [(f["side"], f["config"], f["share"], f["ready"]) for f in fleets] == [
        ("old", "fraud-1", 90.0, 2),
        ("new", "fraud-2", 10.0, 2),
    ]


def test_a_view_tells_why_it_went_back(tx: MemoryTx) -> None:
    run(tx, wish("2"))
    settle(tx, Phase.BAKING)
    leftover = look(tx)
    settle(tx, alarm=AlarmState.ALARM)
    shown = view(tx, leftover)
    last = shown["last"]
    assert isinstance(last, dict)
    assert (last["outcome"], last["cause"], last["to"]) == ("RolledBack", "Alarm", "fraud-2")
    assert "errors" in str(shown["failure_reason"])
    fleets = shown["fleets"]
    assert isinstance(fleets, list)
    assert [(f["side"], f["desired"], f["ready"]) for f in fleets] == [("serving", 2, 2), ("leaving", 0, 2)]


def fail_creation(tx: MemoryTx) -> None:
    run(tx, wish("1"))
    rollouts.abort(tx, "fraud", "ann", START)
    assert endpoint(tx).failed


@pytest.mark.parametrize("version", ["1", "2"], ids=["the same again", "another version"])
def test_the_next_deploy_replaces_a_creation_that_failed(version: str) -> None:
    tx = MemoryTx()
    fail_creation(tx)
    before = endpoint(tx)
    assert run(tx, wish(version), DeployOptions("bob"), LATER) is DeployOutcome.CREATED
    after = endpoint(tx)
    assert not after.failed and after.failure_reason is None and after.created_at == before.created_at
    assert after.generation == before.generation + 1 and after.fence > before.fence
    assert asked_by(tx, "create")[-1] == (
        f'creation with config "fraud-{version}", in place of one that failed, asked for by bob'
    )
    settle(tx)
    serving = endpoint(tx).serving
    assert (
        serving is not None
        and serving.config_name == f"fraud-{version}"
        and serving.generation == after.generation
    )


def test_a_deploy_that_is_refused_leaves_the_failed_creation_as_it_was() -> None:
    tx = MemoryTx()
    fail_creation(tx)
    before, lines = endpoint(tx), len(tx.lines)
    bad = wish("2")
    unknown = replace(bad.models[0], containers=(ContainerDefinition("nobody/knows"),))
    with pytest.raises(Invalid):
        run(tx, replace(bad, models=(unknown,)))
    assert endpoint(tx) == before and len(tx.lines) == lines


def test_a_failed_creation_that_is_being_deleted_is_not_replaced() -> None:
    tx = MemoryTx()
    fail_creation(tx)
    endpoints.delete_endpoint(tx, "fraud", START)
    with pytest.raises(InProgress):
        run(tx, wish("2"))


def test_promoting_fully_is_journaled_as_such(tx: MemoryTx) -> None:
    run(tx, wish("2"))
    settle(tx, Phase.BAKING)
    rollouts.promote(tx, "fraud", "bob", LATER, full=True)
    rollout = endpoint(tx).rollout
    assert rollout is not None and rollout.promote
    assert asked_by(tx, "promote") == ["promote --full asked for by bob in stage 1 of 2"]
