"""The targets there are: one row for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tidegate.domain.targets import LOCAL
from tidegate.ports.target import Checker, Provider, Renderer
from tidegate.targets.aws_lambda.doctor import check_lambda
from tidegate.targets.aws_lambda.provider import provide_lambda
from tidegate.targets.aws_lambda.render import render_calls, render_image, render_template
from tidegate.targets.context import TargetContext
from tidegate.targets.ecs import doctor as ecs_doctor
from tidegate.targets.ecs import provider as ecs_provider
from tidegate.targets.ecs import render as ecs_render
from tidegate.targets.local.provider import provide_local


@dataclass(frozen=True)
class TargetKind:
    """``renderers``: form -> what prints a deployment in it, the usual form first; empty where the platform itself
    runs what it deploys. Modules of a target import what needs an extra only once it is used."""

    provide: Callable[[TargetContext], Provider]
    renderers: Mapping[str, Renderer] = field(default_factory=dict)
    check: Checker | None = None


KINDS: Mapping[str, TargetKind] = {
    LOCAL: TargetKind(provide_local),
    "ecs": TargetKind(
        ecs_provider.provide_ecs,
        {"calls": ecs_render.render_calls, "cloudformation": ecs_render.render_template},
        ecs_doctor.check_ecs,
    ),
    "lambda": TargetKind(
        provide_lambda,
        {"calls": render_calls, "cloudformation": render_template, "dockerfile": render_image},
        check_lambda,
    ),
}
