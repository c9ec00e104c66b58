"""No version gets all of the traffic before a second person approves, where the spec asks for that."""

from dataclasses import replace
from datetime import datetime

import pytest

from tests.samples import all_at_once, canary, percent, rolling, version
from tidegate.domain.access import ANYBODY, Caller, Means, Role
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import NotAllowed
from tidegate.domain.rollout import Approval, DeploymentConfig, Phase
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.rollout import approval_rule, commands, desired_state
from tidegate.simulation.world import World

BOB = Caller("bob", Role.ADMIN, Means.SESSION)


def run(deployment: DeploymentConfig, seconds: float, old: bool = True) -> World:
    """An update that ann asked for, after this time."""
    asked = replace(deployment, approval=Approval(Role.OPERATOR))
    world = make_updating_world(version("v1", 2) if old else None, version("v2", 2), asked)
    assert world.record is not None and world.record.rollout is not None
    world.record = replace(world.record, rollout=replace(world.record.rollout, asked_by="ann"))
    world.run(seconds)
    return world


def held(world: World) -> Endpoint:
    assert world.record is not None and world.record.rollout is not None
    return world.record


def approve(world: World, caller: Caller = BOB) -> Endpoint:
    record = held(world)
    assert record.rollout is not None
    return approval_rule.approve(record, record.rollout, caller, caller.shown, world.instant())


@pytest.mark.parametrize(
    ("deployment", "share", "phase"),
    [
        (canary(percent(10), 60), 1_000, Phase.BAKING),
        (all_at_once(), 0, Phase.PROVISIONING),
        (rolling(percent(50), 60), 5_000, Phase.BAKING),
    ],
    ids=["canary", "all at once", "rolling"],
)
def test_the_last_shift_waits_however_long_and_goes_on_once_somebody_else_approves(
    deployment: DeploymentConfig, share: int, phase: Phase
) -> None:
    world = run(deployment, 5_000)
    record = held(world)
    assert record.rollout is not None and record.rollout.phase is phase
    assert desired_state.new_share(record) == share
    (told,) = [one.message for one in record.rollout.conditions if one.status]
    assert told == "waiting for somebody, other than ann, with the role operator to promote or abort"
    approved = approve(world)
    world.do("approve", lambda *_: approved)
    world.run(world.now + 5_000)
    assert world.record is not None and world.record.last is not None
    assert world.record.last.phase is Phase.SUCCEEDED
    approval = approval_rule.find_approval(world.record.last)
    assert approval is not None and approval.message == "bob"


def test_a_first_version_waits_before_any_traffic() -> None:
    record = held(run(all_at_once(), 5_000, old=False))
    assert record.rollout is not None and approval_rule.is_held(record.rollout)


def test_skipping_every_bake_does_not_skip_the_approval() -> None:
    world = run(canary(percent(10), 3_600), 100)
    world.do("promote_fully", lambda endpoint, now: commands.promote_fully(endpoint, "ann", now))
    world.run(world.now + 5_000)
    assert desired_state.new_share(held(world)) == 1_000


def test_a_rollout_that_is_held_can_still_be_aborted() -> None:
    world = run(canary(percent(10), 60), 5_000)
    world.do("abort", lambda endpoint, now: commands.abort(endpoint, "ann", now))
    world.run(world.now + 5_000)
    assert world.record is not None and world.record.last is not None
    assert world.record.last.phase is Phase.ROLLED_BACK


@pytest.mark.parametrize(
    ("caller", "why"),
    [
        (Caller("ann", Role.ADMIN, Means.SESSION), "was asked for by ann: another operator has to approve it"),
        (Caller("ann", Role.ADMIN, Means.TOKEN, "ci"), "was asked for by ann"),
        (Caller("eve", Role.VIEWER, Means.SESSION), "somebody with the role operator: eve has not"),
        (Caller(), "somebody with the role operator"),
        (ANYBODY, "somebody with the role operator"),
    ],
)
def test_who_may_not_approve_is_refused_with_the_reason(caller: Caller, why: str) -> None:
    with pytest.raises(NotAllowed, match=why):
        approve(run(canary(percent(10), 60), 5_000), caller)


@pytest.mark.parametrize(
    ("asked_by", "name", "same"),
    [
        ("ann", "ann", True),
        ("ann (token ci)", "ann", True),
        ("ci (AKIDANN)", "AKIDANN", True),
        ("bob (AKIDANN)", "bob", False),
        ("anna", "ann", False),
        ("", "bob", False),
    ],
)
def test_the_same_person_is_known_by_what_is_proved(asked_by: str, name: str, same: bool) -> None:
    assert approval_rule.is_same_person(asked_by, name) is same


def test_the_author_may_approve_where_the_spec_lets_everybody() -> None:
    world = run(canary(percent(10), 60), 5_000)
    rollout = held(world).rollout
    assert rollout is not None
    plan = replace(rollout.plan, approval=Approval(Role.OPERATOR, author_may=True))
    ann = Caller("ann", Role.OPERATOR, Means.SESSION)
    approved = approval_rule.approve(held(world), replace(rollout, plan=plan), ann, "ann", world.instant()).rollout
    assert approved is not None and approval_rule.find_approval(approved) is not None


def test_an_approval_is_kept_with_its_time() -> None:
    world = run(canary(percent(10), 60), 5_000)
    before: datetime = world.instant()
    found = approve(world).rollout
    assert found is not None and not approval_rule.is_held(found)
    approval = approval_rule.find_approval(found)
    assert approval is not None and approval.since == before
