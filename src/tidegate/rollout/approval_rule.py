"""Rules for the approval of a rollout by a second person: without it no version gets all of the traffic. Pure."""

from dataclasses import replace
from datetime import datetime

from tidegate.domain.access import Caller, Means
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.errors import NotAllowed
from tidegate.domain.rollout import Condition, Phase
from tidegate.domain.traffic import WHOLE
from tidegate.rollout import transitions

APPROVED, HELD_FOR_APPROVAL = "Approved", "HeldForApproval"
"""Condition types. The message of the first is who approved."""


def is_missing(rollout: Rollout, stage: int) -> bool:
    """Return whether the traffic of this stage needs an approval that was not given yet."""
    ahead = rollout.plan.stages[stage]
    needed = rollout.plan.approval is not None and (ahead.holdback or ahead.share >= WHOLE)
    return needed and find_approval(rollout) is None


def is_held(rollout: Rollout) -> bool:
    """Return whether nothing but the approval is missing."""
    held = any(one.type == HELD_FOR_APPROVAL and one.status for one in rollout.conditions)
    return held and rollout.phase in (Phase.PROVISIONING, Phase.BAKING)


def find_approval(rollout: Rollout) -> Condition | None:
    """Who approved, and when."""
    return next((one for one in rollout.conditions if one.type == APPROVED and one.status), None)


def approve(endpoint: Endpoint, rollout: Rollout, caller: Caller, by: str, now: datetime) -> Endpoint:
    """Record the approval of a rollout that is held for it. Raises NotAllowed for a caller who may not give it."""
    assert rollout.plan.approval is not None
    rule, where = rollout.plan.approval, f"the rollout of {endpoint.name}"
    if caller.role is None or not caller.role.includes(rule.role) or caller.means is Means.LOOPBACK:
        raise NotAllowed(f"{where} has to be approved by somebody with the role {rule.role}: {by} has not")
    if not rule.author_may and is_same_person(rollout.asked_by, caller.name):
        raise NotAllowed(f"{where} was asked for by {caller.name}: another {rule.role} has to approve it")
    rollout = transitions.set_condition(rollout, HELD_FOR_APPROVAL, False, "", now)
    return replace(endpoint, rollout=transitions.set_condition(rollout, APPROVED, True, by, now))


def is_same_person(asked_by: str, name: str) -> bool:
    """Whether a request that the journal has as ``asked_by`` came from this user or key: the name alone, with a token
    of the user's, or after what the holder of a key says about itself."""
    return asked_by == name or asked_by.startswith(f"{name} (token ") or asked_by.endswith(f" ({name})")
