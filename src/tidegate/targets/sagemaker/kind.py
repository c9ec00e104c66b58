"""The target ``sagemaker`` in the registry."""

from tidegate.targets.kind import TargetKind
from tidegate.targets.sagemaker.commands import check, render_calls, render_cloudformation, render_job
from tidegate.targets.sagemaker.direct import open_direct
from tidegate.targets.sagemaker.provider import provide_sagemaker

KIND = TargetKind(
    provide_sagemaker,
    {"calls": render_calls, "cloudformation": render_cloudformation},
    check,
    open_direct,
    render_job=render_job,
)
