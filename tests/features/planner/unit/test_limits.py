"""Limits and enums of AWS's services are data with source and date, and what botocore models agrees with botocore."""

from datetime import date
from typing import Any

import botocore.session
import pytest

from tidegate.features.planner import candidates, rules
from tidegate.features.planner.tables import table
from tidegate.prices import Catalogue

MODEL = botocore.session.get_session().get_service_model("sagemaker")
CATALOGUE = Catalogue.load()
MODELLED = {
    "serverless_memory": ("ServerlessMemorySizeInMB", 2**20),
    "serverless_concurrency": ("ServerlessMaxConcurrency", 1),
    "guardrail_wait": ("WaitIntervalInSeconds", 1),
    "guardrail_total": ("MaximumExecutionTimeoutInSeconds", 1),
    "batch_time": ("InvocationsTimeoutInSeconds", 1),
    "containers": ("ContainerDefinitionList", 1),
}


def most(shape: str) -> int:
    found: int = MODEL.shape_for(shape).metadata["max"]
    return found


@pytest.mark.parametrize("name", table("limits"))
def test_every_limit_has_a_value_a_meaning_a_source_and_a_day(name: str) -> None:
    limit = table("limits")[name]
    assert rules.limit(name) > 0
    assert limit["what"] and limit["source"]
    assert isinstance(limit["date"], date)


@pytest.mark.parametrize("name", MODELLED)
def test_a_limit_that_botocore_models_is_botocores(name: str) -> None:
    shape, unit = MODELLED[name]
    assert rules.limit(name) == most(shape) * unit


def test_the_payload_of_a_batch_job_is_what_botocore_documents() -> None:
    member = MODEL.shape_for("CreateTransformJobRequest").members["MaxPayloadInMB"]
    assert "cannot be greater than 100 MB" in member.documentation
    assert rules.limit("batch_payload") == 100e6


@pytest.mark.parametrize("api", ["hosting", "transform"])
def test_instance_types_are_those_of_the_api(api: str) -> None:
    about = table("instance_types")[api]
    enum = set(MODEL.shape_for(about["enum"]).enum)
    assert candidates.allowed(api) <= enum
    known = {one.name for one in CATALOGUE.instances()}
    assert candidates.allowed(api) & known == enum & known, (
        "a newer botocore has types of the catalogue that are not here"
    )
    assert about["source"] and isinstance(about["date"], date)


@pytest.mark.parametrize(
    ("vcpus", "memories", "sizes"),
    [(0.25, (0.5, 1, 2), 3), (1, (2, 8), 7), (4, (8, 30), 23), (8, (16, 60), 12), (16, (32, 120), 12)],
)
def test_fargate_sizes_are_those_of_its_task_definitions(
    vcpus: float, memories: tuple[float, ...], sizes: int
) -> None:
    found = dict(candidates.fargate_sizes())[vcpus]
    assert len(found) == sizes and set(memories) <= set(found)


def conditions(value: Any) -> list[str]:
    """Names of limits that a table's conditions use."""
    if isinstance(value, dict):
        return [name for one in value.values() for name in conditions(one)]
    if isinstance(value, list):
        return [name for one in value for name in conditions(one)]
    return [value[1:]] if isinstance(value, str) and value.startswith("$") else []


def test_conditions_name_limits_that_are_there() -> None:
    tables = ("modes", "targets", "flowchart", "contradictions", "notes", "architectures")
    used = {name for one in tables for name in conditions(table(one))}
    assert used and used <= set(table("limits"))
