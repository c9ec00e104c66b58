"""Render a compiled deployment as JSON: the API calls in order. The CloudFormation form is in ``cloudformation``."""

from dataclasses import asdict
from typing import Any

from tidegate.targets.sagemaker.calls import CompiledDeployment


def render_calls(compiled: CompiledDeployment) -> dict[str, Any]:
    return {
        "endpoint": compiled.endpoint,
        "config": compiled.config_name,
        "digest": compiled.digest,
        "uploads": [asdict(upload) for upload in compiled.uploads],
        "calls": [
            {"service": call.service, "operation": call.operation, "parameters": call.params, "why": call.why}
            for call in compiled.calls
        ],
        "steps": [asdict(step) for step in compiled.steps],
        "notes": list(compiled.notes),
        "refusals": list(compiled.refusals),
    }


def describe_steps(compiled: CompiledDeployment) -> list[str]:
    """One line for each step of the rollout, as SageMaker will do it."""
    return [
        f"{step.share:.0%} of the traffic on {step.instances} of {step.total} new instances"
        + (f" (asked for {step.asked:.0%})" if abs(step.share - step.asked) > 1e-9 else "")
        + (f", for {step.wait} s" if step.wait else "")
        for step in compiled.steps
    ]
