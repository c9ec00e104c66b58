"""The target ``ecs`` in the registry."""

from tidegate.targets.ecs.doctor import check_ecs
from tidegate.targets.ecs.provider import provide_ecs
from tidegate.targets.ecs.render import render_calls, render_template
from tidegate.targets.kind import TargetKind

KIND = TargetKind(provide_ecs, {"calls": render_calls, "cloudformation": render_template}, check_ecs)
