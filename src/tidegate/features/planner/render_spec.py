"""A plan as a spec file with its reasons in comments."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tidegate.features.planner.plan import Plan
from tidegate.features.planner.plan_promise import lines

WIDTH = 110
_REASONS = {
    "autoscaling": ("Scaling",),
    "instance_type": ("Instance Type",),
    "serverless": ("Instance Type", "Scaling"),
    "async": ("Inference Mode",),
    "rollout": ("Deployment Strategy",),
}
"""Key of a spec -> the rows whose reasons stand above it."""
_HOLDERS = ("model", "pipeline", "containers")


def render_spec(plan: Plan, spec: Mapping[str, Any] | None = None) -> str:
    """YAML that ``tidegate deploy`` reads. ``spec`` is the plan's own unless model data was filled in."""
    given = plan.spec if spec is None else spec
    return "\n".join([*_head(plan), *_body(plan, given, filled=spec is not None)]) + "\n"


def _head(plan: Plan) -> Iterator[str]:
    yield f"# Plan {plan.digest} for {plan.answers.name}, made by 'tidegate plan'."
    for row in plan.rows:
        yield from _comment(f"{row.name}: {row.value}")
    for text in plan.overrides:
        yield from _comment(f"OVERRIDE: {text}")
    for text in () if plan.promise is None else lines(plan.promise):
        yield from _comment(f"Promise: {text}")
    for note in plan.notes:
        yield from _comment(f"Note: {note.say}" + (f" ({note.change})" if note.change else ""))
    for text in plan.assumptions:
        yield from _comment(f"Assumed: {text}")
    if "job" in plan.spec:
        yield from _comment("Run it, without an endpoint: tidegate batch THIS-FILE")


def _body(plan: Plan, spec: Mapping[str, Any], *, filled: bool) -> Iterator[str]:
    reasons = {row.name: row.reason for row in plan.rows}
    for key, value in spec.items():
        if key in _HOLDERS and not filled:
            yield from _comment("Put in where your model data is: a path, file:// or s3://.", blank=True)
        for name in _REASONS.get(key, ()):
            reason = reasons[name]
            yield from _comment(f"{reason[:1].upper()}{reason[1:]}.", blank=True)
        if key in ("alarms", "evidence", "tags"):
            yield ""
        if key == "workload":
            yield from _comment(
                "What it was planned for: 'tidegate cost estimate THIS-FILE' prices it.", blank=True
            )
        yield yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=WIDTH).rstrip("\n")


def _comment(text: str, *, blank: bool = False) -> Iterator[str]:
    """Text of answers stays in its comment: line breaks and other control characters do not come through."""
    clean = "".join(char if char.isprintable() else " " for char in text)
    if blank:
        yield ""
    yield from textwrap.wrap(clean, WIDTH, initial_indent="# ", subsequent_indent="#   ")
