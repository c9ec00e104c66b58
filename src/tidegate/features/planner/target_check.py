"""Compiles a plan for its target: what the target would refuse is no plan."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tidegate import spec as spec_files
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid, TidegateError
from tidegate.features.planner.flowchart import Place, PlanNote
from tidegate.features.planner.tables import table
from tidegate.ports.target import Rendering
from tidegate.prices import HOME, MAIN_REGIONS
from tidegate.targets.registry import KINDS

_PLANNED = datetime(2026, 1, 1, tzinfo=UTC)
_IMAGE = "image "
"""How SageMaker's compiler begins what it says about an image."""


def parse_planned(spec: Mapping[str, Any]) -> DesiredDeployment:
    """Parse a planned spec, as ``tidegate deploy`` does."""
    return spec_files.parse(dict(spec), _PLANNED)


def compile_plan(wish: DesiredDeployment, place: Place, region: str) -> tuple[PlanNote, ...]:
    """Render the plan for its target, with stand-ins for the account's own names, and return what has to be there
    first. Raises Invalid for what the target refuses."""
    rendering = _render(wish, place, region)
    if rendering is None:
        return ()
    images = tuple(one for one in rendering.refusals if one.startswith(_IMAGE))
    others = [one for one in rendering.refusals if one not in images]
    if others:
        raise Invalid(f"{place.target}: the target refuses the plan: {'; '.join(others)}")
    say = "SageMaker has no container for {}: push an image that serves it to ECR"
    names = ", ".join(sorted({one.split("'")[1] for one in images}))
    change = "name it under images in the settings of target sagemaker"
    return (PlanNote("image", say.format(names), change),) if images else ()


def _render(wish: DesiredDeployment, place: Place, region: str) -> Rendering | None:
    known = table("targets")["targets"][place.target]
    kind = KINDS[known["kind"]]
    renderer = next(iter(kind.renderers.values())) if wish.job is None else kind.render_job
    if renderer is None:
        return None
    here = region if region in MAIN_REGIONS else HOME
    stands_in = {**known["stands_in"], **({"region": here} if place.target != "eks" else {})}
    try:
        return renderer(wish, stands_in)
    except TidegateError as error:
        raise Invalid(f"{place.target}: the target refuses the plan: {error.message}") from None
