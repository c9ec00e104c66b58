"""The target ``lambda`` in the registry."""

from tidegate.targets.aws_lambda.doctor import check_lambda
from tidegate.targets.aws_lambda.provider import provide_lambda
from tidegate.targets.aws_lambda.render import render_calls, render_image, render_template
from tidegate.targets.kind import TargetKind

KIND = TargetKind(
    provide_lambda,
    {"calls": render_calls, "cloudformation": render_template, "dockerfile": render_image},
    check_lambda,
)
