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
AUTHOR, NOBODY = "author", "nobody"


class ApprovalSpec(Struct, forbid_unknown_fields=True):
    """Let a second person approve before the new version gets all of the traffic."""

    role: Annotated[str, about("The least role of who approves.", enum=ROLES)]
    not_: Annotated[str, about("Who may not: the author is who asked for the rollout.", enum=(AUTHOR, NOBODY))] = (
        field(default=AUTHOR, name="not")
    )


def build_approval(given: ApprovalSpec, draft: Draft) -> Approval:
    """Raises SpecError."""
    role = Role(one_of(given.role, ROLES, ("approval", "role")))
    return Approval(role, one_of(given.not_, (AUTHOR, NOBODY), ("approval", "not")) == NOBODY)


def render_approval(deployed: DesiredDeployment) -> dict[str, Any]:
    """Plain data without defaults: the inverse of ``build_approval``."""
    given = deployed.deployment.approval
    assert given is not None
    return {"role": given.role.value, **({"not": NOBODY} if given.author_may else {})}
