"""What may be asked when, and what people read when it may not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.samples import canary, percent, version
from tidegate.domain.endpoint import Endpoint, Successor, VersionRequest
from tidegate.domain.errors import Conflict, Invalid, TidegateError
from tidegate.domain.observation import Capabilities
from tidegate.domain.rollout import DeploymentConfig, Phase
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world, simulate
from tidegate.rollout import commands, desired_state
from tidegate.rollout.commands import VariantChange
from tidegate.simulation.world import START, World

CANARY = canary(percent(10), 300, 60)
CAN = Capabilities()
LATER = START + timedelta(hours=1)


def at(phase: Phase, world: World | None = None) -> Endpoint:
    """An endpoint in this phase of an update."""
    world = world or make_updating_world(version("v1"), version("v2"), CANARY)
    world.run(10_000, settled=lambda w: bool(w.record and w.record.rollout and w.record.rollout.phase is phase))
    assert world.record is not None and world.record.rollout is not None and world.record.rollout.phase is phase
    return world.record


def steady() -> Endpoint:
    world = make_updating_world(version("v1"), version("v2"), CANARY).run(10_000)
    assert world.record is not None and world.record.rollout is None
    return world.record


def rolled_back() -> Endpoint:
    turned = commands.abort(at(Phase.BAKING), "ann", START)
    world = World(turned).run(10_000)
    assert world.record is not None
    return world.record


def failed() -> Endpoint:
    created = at(Phase.PROVISIONING, make_updating_world(None, version("v1"), DeploymentConfig()))
    return commands.abort(created, "ann", START)


def failed_and_deleting() -> Endpoint:
    return commands.delete(failed(), START)


def begin(endpoint: Endpoint) -> Endpoint:
    wish = VersionRequest(version("v9"), CANARY, LATER)
    return commands.begin(endpoint, wish, rollout_id="r9", can=CAN, now=LATER)


def supersede(endpoint: Endpoint) -> Endpoint:
    wish = VersionRequest(version("v9"), CANARY, LATER)
    return commands.supersede(endpoint, wish, rollout_id="r9", can=CAN, now=LATER)


def pause(endpoint: Endpoint) -> Endpoint:
    return commands.pause(endpoint, "ann", LATER)


def resume(endpoint: Endpoint) -> Endpoint:
    return commands.resume(endpoint, "ann", LATER)


def abort(endpoint: Endpoint) -> Endpoint:
    return commands.abort(endpoint, "ann", LATER)


def promote(endpoint: Endpoint) -> Endpoint:
    return commands.promote(endpoint, "ann", LATER)


def promote_fully(endpoint: Endpoint) -> Endpoint:
    return commands.promote_fully(endpoint, "ann", LATER)


def replace_failed(endpoint: Endpoint) -> Endpoint:
    request = VersionRequest(version("v3"), CANARY, LATER, "ann")
    return commands.replace_failed_creation(endpoint, request, rollout_id="r9", can=CAN, now=LATER)


def retry(endpoint: Endpoint) -> Endpoint:
    return commands.retry(endpoint, rollout_id="r9", override=False, can=CAN, now=LATER)


def scale(endpoint: Endpoint) -> Endpoint:
    return commands.scale(endpoint, {"AllTraffic": VariantChange(count=5)}, LATER)


def delete(endpoint: Endpoint) -> Endpoint:
    return commands.delete(endpoint, LATER)


def deleting() -> Endpoint:
    return commands.delete(steady(), START)


def creating() -> Endpoint:
    return at(Phase.PROVISIONING, make_updating_world(None, version("v1"), DeploymentConfig()))


def scaling() -> Endpoint:
    return scale(steady())


def baking() -> Endpoint:
    return at(Phase.BAKING)


def paused() -> Endpoint:
    return pause(baking())


def terminating() -> Endpoint:
    return at(Phase.TERMINATING)


def going_back() -> Endpoint:
    return abort(baking())


Case = tuple[Callable[[Endpoint], Endpoint], Callable[[], Endpoint], str]
REFUSED: list[Case] = [
    (begin, baking, "is being updated; wait until it is done, or supersede"),
    (begin, scaling, "is being updated"),
    (begin, deleting, "is being deleted"),
    (begin, failed, "could not be created: deploy it again, or delete it"),
    (supersede, creating, "is being created and has no old version to go back to"),
    (pause, steady, "has no rollout under way"),
    (pause, paused, "is already paused, by ann"),
    (pause, going_back, "is already rolling back and cannot be paused"),
    (pause, terminating, "is past the point of no return and cannot be paused"),
    (resume, baking, "is not paused"),
    (abort, steady, "has no rollout under way"),
    (abort, terminating, "is past the point of no return and cannot be aborted.*rollout undo"),
    (promote, going_back, "is already rolling back and cannot be promoted"),
    (promote_fully, going_back, "is already rolling back and cannot be promoted"),
    (retry, steady, "there is nothing to retry"),
    (retry, failed, "there is nothing to retry"),
    (scale, failed, "could not be created"),
    (replace_failed, steady, "has not failed; there is nothing to replace"),
    (replace_failed, creating, "has not failed"),
    (replace_failed, baking, "has not failed"),
    (replace_failed, rolled_back, "has not failed"),
    (replace_failed, failed_and_deleting, "has not failed"),
    (scale, deleting, "is being deleted"),
    (delete, deleting, "is already being deleted"),
    (delete, baking, "Cannot update in-progress endpoint"),
    (delete, creating, "Cannot update in-progress endpoint"),
    (delete, scaling, "Cannot update in-progress endpoint"),
]


@pytest.mark.parametrize(
    ("command", "state", "message"), REFUSED, ids=[f"{c.__name__} {s.__name__}" for c, s, _ in REFUSED]
)
def test_a_state_that_forbids_it_says_so(
    command: Callable[[Endpoint], Endpoint], state: Callable[[], Endpoint], message: str
) -> None:
    with pytest.raises(Conflict, match=message):
        command(state())


ALLOWED: list[tuple[Callable[[Endpoint], Endpoint], Callable[[], Endpoint]]] = [
    (begin, steady),
    (begin, rolled_back),
    (supersede, steady),
    (supersede, baking),
    (supersede, going_back),
    (pause, baking),
    (pause, creating),
    (resume, paused),
    (abort, creating),
    (abort, paused),
    (abort, going_back),
    (promote, paused),
    (promote_fully, paused),
    (replace_failed, failed),
    (retry, rolled_back),
    (scale, steady),
    (scale, creating),
    (scale, baking),
    (scale, terminating),
    (scale, going_back),
    (delete, steady),
    (delete, failed),
    (delete, rolled_back),
]


@pytest.mark.parametrize(("command", "state"), ALLOWED, ids=[f"{c.__name__} {s.__name__}" for c, s in ALLOWED])
def test_a_command_neither_shifts_traffic_forward_nor_advances_a_stage(
    command: Callable[[Endpoint], Endpoint], state: Callable[[], Endpoint]
) -> None:
    before = state()
    after = command(before)
    assert desired_state.new_share(after) <= desired_state.new_share(before) or after.rollout is None
    if before.rollout is not None and after.rollout is not None and before.rollout.id == after.rollout.id:
        assert after.rollout.stage == before.rollout.stage


def test_each_version_gets_the_next_generation() -> None:
    first = steady()
    assert first.generation == 2
    second = begin(first)
    assert second.rollout is not None and second.rollout.new.generation == second.generation == 3


def test_resuming_moves_every_deadline_by_the_time_away() -> None:
    before = replace(CANARY, execution_timeout=5_000)
    record = at(Phase.BAKING, make_updating_world(version("v1"), version("v2"), before))
    away = commands.resume(commands.pause(record, "ann", START), "bob", LATER).rollout
    was = record.rollout
    assert was is not None and was.bake_until is not None and was.expires_at is not None
    assert away is not None and away.pause is None
    assert away.bake_until == was.bake_until + timedelta(hours=1)
    assert away.expires_at == was.expires_at + timedelta(hours=1)
    assert [(c.type, c.status, c.message, c.since) for c in away.conditions] == [("Paused", False, "bob", LATER)]


def test_aborting_while_a_successor_waits_drops_the_successor() -> None:
    waiting = supersede(baking())
    assert waiting.rollout is not None and waiting.rollout.successor is not None
    aborted = abort(waiting)
    assert aborted.rollout is not None and aborted.rollout.successor is None


def test_a_forced_delete_ends_the_rollout() -> None:
    gone = commands.delete(baking(), LATER, force=True)
    assert gone.rollout is None and gone.deleting and desired_state.fleets(gone) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Nobody": VariantChange(count=1)}, "has no variant Nobody; it has AllTraffic"),
        ({"AllTraffic": VariantChange(count=-1)}, "must be 0 or more"),
        ({"AllTraffic": VariantChange(weight=-0.1)}, "must be 0 or more"),
        ({"AllTraffic": VariantChange(weight=0.0)}, "left without a variant that takes requests"),
        ({"AllTraffic": VariantChange(count=0)}, "left without a variant that takes requests"),
    ],
)
def test_scaling_to_what_cannot_be_is_refused(changes: dict[str, VariantChange], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        commands.scale(steady(), changes, LATER)


def test_errors_are_the_platforms_own() -> None:
    with pytest.raises(TidegateError):
        simulate(version("v1"), version("v2"), canary(percent(70), 60))


def removing_the_new() -> Endpoint:
    """Rolled back but for fleets that have not ended."""
    endpoint = going_back()
    assert endpoint.rollout is not None
    last = replace(endpoint.rollout, back_stage=len(endpoint.rollout.back))
    return desired_state.route(replace(endpoint, rollout=last), 0)


@pytest.mark.parametrize("command", [begin, supersede])
@pytest.mark.parametrize(("make", "serves"), [(terminating, "v2"), (removing_the_new, "v1")])
def test_fleets_that_are_ending_lock_nothing(
    command: Callable[[Endpoint], Endpoint], make: Callable[[], Endpoint], serves: str
) -> None:
    after = command(make())
    assert after.serving is not None and after.serving.config_name == serves
    assert after.rollout is not None and after.rollout.new.config_name == "v9"
    assert after.rollout.phase is Phase.PROVISIONING and after.rollout.old == after.serving
    table = desired_state.traffic(after)
    assert {route.fleet.generation for route in table.routes} == {after.serving.generation}
    assert after.last is not None and after.last.ended_at == LATER


def test_endpoint_whose_old_fleets_are_ending_can_be_deleted() -> None:
    assert delete(terminating()).deleting


def test_newer_successor_replaces_one_that_waits_for_fleets_that_are_ending() -> None:
    waiting = removing_the_new()
    assert waiting.rollout is not None
    other = VersionRequest(version("v8"), CANARY, LATER)
    plan = waiting.rollout.plan
    waiting = replace(waiting, rollout=replace(waiting.rollout, successor=Successor("r8", other, plan)))
    after = supersede(waiting)
    assert after.rollout is not None and after.rollout.new.config_name == "v9"
    assert after.last is not None and after.last.phase is Phase.ROLLED_BACK
