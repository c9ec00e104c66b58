"""Every compiled request fits botocore's shapes, and every template the schemas that cfn-lint ships."""

import json
from typing import Any

from cfnlint.api import ManualArgs, lint
from hypothesis import given, settings

from tests.unit.targets.sagemaker.aws_specs import LOCAL, NOW, drawn_servings, drawn_wishes, options, wish
from tidegate.domain.desired import DesiredDeployment
from tidegate.targets.sagemaker import limits, service_model
from tidegate.targets.sagemaker.calls import CompiledDeployment, RunningConfig
from tidegate.targets.sagemaker.cloudformation import render_template
from tidegate.targets.sagemaker.compile import compile_native

ANY = options(accept_all_at_once=True, accept_larger_steps=True)


def compiled(wish: DesiredDeployment, was: RunningConfig | None) -> CompiledDeployment:
    return compile_native(wish, ANY, LOCAL, was, NOW)


@given(drawn_wishes(), drawn_servings)
def test_compiled_requests_fit_botocores_shapes(wish: DesiredDeployment, was: RunningConfig | None) -> None:
    found = compiled(wish, was)
    for call in found.calls:
        error = service_model.find_shape_error(call.service, call.operation, call.params)
        assert error is None or found.refusals, f"{call.operation}: {error}"
        assert all(len(str(value)) <= limits.NAME for key, value in call.params.items() if key in _NAMES)


_NAMES = ("ModelName", "EndpointConfigName", "EndpointName")


@given(drawn_wishes(), drawn_servings)
def test_rollouts_are_compiled_within_the_limits_of_guardrails(
    wish: DesiredDeployment, was: RunningConfig | None
) -> None:
    found = compiled(wish, was)
    deployment = found.change.params.get("DeploymentConfig", {})
    policy = deployment.get("BlueGreenUpdatePolicy") or deployment.get("RollingUpdatePolicy")
    if policy and not found.refusals:
        assert policy["MaximumExecutionTimeoutInSeconds"] > found.waits
        assert found.abort_alarm in [
            alarm["AlarmName"] for alarm in deployment["AutoRollbackConfiguration"]["Alarms"]
        ]
        assert [step.instances for step in found.steps] == sorted({step.instances for step in found.steps})
        assert found.steps[-1].share == 1.0


@settings(max_examples=12)  # half a second each
@given(drawn_wishes(), drawn_servings)
def test_templates_pass_cfn_lint(wish: DesiredDeployment, was: RunningConfig | None) -> None:
    found = compiled(wish, was)
    if not found.refusals:
        assert complaints(render_template(found)) == []


def test_a_template_with_a_misspelt_property_does_not_pass() -> None:
    template = render_template(compile_native(wish(), ANY, LOCAL, None, NOW))
    (config,) = (one for one in template["Resources"].values() if one["Type"].endswith("EndpointConfig"))
    config["Properties"]["ProductionVarients"] = config["Properties"].pop("ProductionVariants")
    assert any("ProductionVarients" in text for text in complaints(template))


def complaints(template: dict[str, Any]) -> list[str]:
    """Of cfn-lint, with the schemas that it ships: nothing is fetched."""
    return [str(match) for match in lint(json.dumps(template), config=ManualArgs(regions=[ANY.region]))]
