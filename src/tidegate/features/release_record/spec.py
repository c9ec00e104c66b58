"""The ``approval`` section of a spec: its structure, and what it means."""

from typing import Annotated, Any

from msgspec import Struct, field

from tidegate.domain.access import Role
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.rollout import Approval
from tidegate.spec.sections import Draft
from tidegate.spec.units import one_of
from tidegate.spec.value_types import about

ROLES = (Role.OPERATOR.value, Role.ADMIN.value)
AUTHOR = "author"


class ApprovalSpec(Struct, forbid_unknown_fields=True):
    """Let a second person approve before the new version gets all of the traffic."""

    role: Annotated[str, about("The least role of who approves.", enum=ROLES)] = "operator"
    not_: Annotated[str, about("Who may not: whoever asked for the rollout.", enum=(AUTHOR,))] = field(
        default=AUTHOR, name="not"
    )


def build_approval(given: ApprovalSpec, draft: Draft) -> Approval:
    """Raises SpecError."""
    one_of((AUTHOR,), given.not_, ("approval", "not"))
    return Approval(Role(one_of(ROLES, given.role, ("approval", "role"))))


def render_approval(deployed: DesiredDeployment) -> dict[str, Any]:
    """Plain data without defaults: the inverse of ``build_approval``."""
    given = deployed.deployment.approval
    assert given is not None
    return {} if given == Approval() else {"role": given.role.value}
