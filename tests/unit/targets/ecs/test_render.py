"""What the target at ECS prints: calls that fit botocore's shapes, and templates that cfn-lint accepts."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from cfnlint.api import lint_all

from tests.unit.targets.aws.shapes import shape_errors
from tests.unit.targets.ecs.test_target import OPTIONS
from tidegate import spec
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import TargetRefused
from tidegate.targets.ecs.render import render_calls, render_template
from tidegate.targets.ecs.rule_weights import forward_action, read_action
from tidegate.targets.ecs.task_definition import SIZES, fit

SETTINGS = msgspec.to_builtins(OPTIONS)
SPEC = """
endpoint: fraud
model: {data: s3://models/fraud.ubj, image: tidegate/xgboost}
instances: 2
"""


def desired(text: str = SPEC) -> DesiredDeployment:
    loaded = spec.load(text, "fraud.yaml")
    return loaded.wish(datetime(2026, 1, 1, tzinfo=UTC), spec.resolve(loaded.data, "/somewhere"))


def test_the_calls_fit_botocores_shapes_and_come_in_order() -> None:
    documents = render_calls(desired(), SETTINGS).documents
    assert [one.name for one in documents] == [
        "elbv2 CreateTargetGroup",
        "elbv2 CreateRule",
        "ecs RegisterTaskDefinition",
        "ecs CreateService",
    ]
    for one in documents:
        members = one.body["members"]
        assert isinstance(members, dict)
        assert shape_errors(str(one.body["service"]), str(one.body["operation"]), "input", members) == ""


@pytest.mark.parametrize("strategy", ["ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"])
def test_the_template_is_valid_for_cloudformation(strategy: str) -> None:
    (document,) = render_template(desired(), {**SETTINGS, "strategy": strategy}).documents
    found = [str(match) for match in lint_all(json.dumps(document.body))]
    assert [one for one in found if one.startswith("[E")] == []


OF_USER = """
endpoint: fraud
model: {container: ghcr.example/team/fraud:1.4, data: s3://models/fraud.tar.gz, environment: {A: b}}
"""


def test_a_container_of_the_users_stands_beside_its_front_in_one_task() -> None:
    members = {one.name: one.body["members"] for one in render_calls(desired(OF_USER), SETTINGS).documents}
    task, made = members["ecs RegisterTaskDefinition"], members["ecs CreateService"]
    assert isinstance(task, dict) and isinstance(made, dict)
    assert shape_errors("ecs", "RegisterTaskDefinition", "input", task) == ""
    front, model, fetching = task["containerDefinitions"]
    assert front["portMappings"][0]["containerPort"] == made["loadBalancers"][0]["containerPort"] == 18_080
    assert model["image"] == "ghcr.example/team/fraud:1.4"
    assert model["command"] == ["serve"]
    assert front["dependsOn"] == [{"containerName": model["name"], "condition": "START"}], "it is stopped first"
    assert model["dependsOn"] == [{"containerName": fetching["name"], "condition": "SUCCESS"}]
    assert {"name": "A", "value": "b"} in model["environment"]
    (document,) = render_template(desired(OF_USER), SETTINGS).documents
    assert [one for one in map(str, lint_all(json.dumps(document.body))) if one.startswith("[E")] == []


RULES = {
    "{target: 600, rule: aws}": "ALBRequestCountPerTarget",
    "{target: 4}": "requests * seconds / 60 / tasks",
    "{target: 60, rule: aws, metric: cpu}": "ECSServiceAverageCPUUtilization",
}
"""Rules of a spec -> the metric by which a service is scaled."""


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("strategy", ["ROLLING", "CANARY"])
def test_a_template_scales_by_the_rules_of_the_spec(rule: str, strategy: str) -> None:
    calendar = '[{name: payday, starts: "cron(0 8 L * ? *)", lasts: 2h, count: 6}]'
    text = f"{SPEC}autoscaling: {{min: 2, max: 8, calendar: {calendar}, {rule[1:]}\n"
    rendering = render_template(desired(text), {**SETTINGS, "strategy": strategy})
    template = json.dumps(rendering.documents[0].body)
    assert [str(match) for match in lint_all(template) if str(match).startswith("[E")] == []
    assert RULES[rule] in template
    assert template.count("tidegate-payday-") == 24, "twelve peaks that begin and end"
    words = ["calendar payday"] + (["in minutes and not in seconds"] if "aws" not in rule else [])
    assert all(any(word in note for note in rendering.notes) for word in words)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("serverless: {memory: 3GiB, max_concurrency: 20}\n", "a serverless variant"),
        ("async: {output: s3://answers/}\n", "the platform's queue"),
        ("quotas: {rate: 5/s}\n", "quotas"),
        ("max_in_flight: 4\n", "max_in_flight"),
        ("queue_time: 50ms\n", "queue_time"),
        ("capture: {to: s3://captures/}\n", "data capture"),
    ],
)
def test_what_a_service_cannot_be_is_refused(more: str, told: str) -> None:
    text = SPEC.replace("instances: 2\n", "") if "serverless" in more else SPEC
    with pytest.raises(TargetRefused, match=told):
        render_calls(desired(text + more), SETTINGS)


def test_model_data_of_this_machine_is_refused() -> None:
    with pytest.raises(TargetRefused, match="s3:// only"):
        render_calls(desired(SPEC.replace("s3://models", "/models")), SETTINGS)


@pytest.mark.parametrize(
    ("cpu", "memory", "size"),
    [
        (1, 1, (256, 512)),
        (256, 600, (256, 1024)),
        (256, 2049, (512, 3072)),
        (1024, 2048, (1024, 2048)),
        (1, 9000, (2048, 9216)),
    ],
)
def test_a_task_has_the_smallest_size_of_fargate_that_fits(cpu: int, memory: int, size: tuple[int, int]) -> None:
    assert fit(cpu, memory) == size
    assert size[1] in SIZES[size[0]]


def test_a_task_larger_than_fargate_has_is_refused() -> None:
    with pytest.raises(TargetRefused, match="no size of Fargate"):
        fit(16384, 200_000)


@pytest.mark.parametrize("share", range(0, 10_001, 20))
def test_every_share_of_a_rollout_is_shown_exactly_by_weights(share: int) -> None:
    shares = {"a": 10_000 - share, "b": share}
    assert read_action(forward_action(shares)) == shares
