"""Batch transform jobs as CreateTransformJob."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.targets.sagemaker.aws_account import IMAGE, Account
from tests.unit.targets.sagemaker.aws_specs import NOW, options
from tests.unit.targets.sagemaker.engine_platform import here
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec, VariantSpec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.transform import (
    BadRows,
    DataProcessing,
    RequestLimits,
    SplitType,
    TransformInput,
    TransformJob,
    TransformOutput,
)
from tidegate.targets.sagemaker.calls import Findings
from tidegate.targets.sagemaker.provider import SagemakerTransforms
from tidegate.targets.sagemaker.service_model import find_shape_error
from tidegate.targets.sagemaker.transform_call import compile_transform

JOB = TransformJob(
    "attrition-1",
    Model("attrition", (ContainerDefinition("x"),), NOW),
    TransformInput("s3://rows/in/", content_type="text/csv", split=SplitType.LINE),
    TransformOutput("s3://rows/out/", accept="text/csv", by_line=True),
    NOW,
    processing=DataProcessing(output_filter="$[0,-1]", join=True),
    pace=RequestLimits(single=False, megabytes=6, concurrency=4),
    instances=2,
    instance_type="ml.m5.xlarge",
)


def compiled(**changes: Any) -> tuple[Any, Findings]:
    found = Findings()
    return compile_transform(replace(JOB, **changes), "attrition-0", options(), found), found


def test_a_job_fits_botocores_shape() -> None:
    call, found = compiled()
    assert find_shape_error(call.service, call.operation, call.params) is None
    assert found.refusals == [] and call.params["BatchStrategy"] == "MultiRecord"
    assert call.params["DataProcessing"]["JoinSource"] == "Input"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"instance_type": "ml.c5.large"}, "whose types are not those of hosting"),
        ({"source": TransformInput("file:///srv/in")}, "s3:// only"),
        ({"on_bad_rows": BadRows.ERRORS}, "fails the object"),
        ({"pace": RequestLimits(megabytes=200)}, "100 MB at most"),
        ({"pace": RequestLimits(megabytes=50, concurrency=4)}, "must not exceed"),
        ({"pace": RequestLimits(timeout=7200)}, "3600 s"),
        ({"instances": 500}, "100 at most"),
    ],
)
def test_what_a_job_cannot_do_is_refused(changes: dict[str, Any], words: str) -> None:
    _, found = compiled(**changes)
    assert any(words in text for text in found.refusals)


def fleet() -> FleetSpec:
    model = Model("attrition", (ContainerDefinition(IMAGE, data_url="s3://models-bucket/v1.tar.gz"),), NOW)
    variant = VariantSpec("AllTraffic", model, 2, instance_type="ml.m5.xlarge")
    return FleetSpec(FleetId("attrition-1", 1, "AllTraffic"), "attrition-1", variant, 2)


def test_a_job_runs_and_ends_at_sagemaker_once() -> None:
    account = Account()
    runner = SagemakerTransforms(account.client(), options(), here)

    async def life() -> None:
        assert (await runner.look(JOB)).alive is False
        account.aws.faults.lost["CreateTransformJob"] = 1
        for _ in range(2):
            await runner.start(JOB, fleet(), lambda replicas: b"{}")
        seen = await runner.look(JOB)
        assert seen.alive and seen.reason is None
        account.aws.sagemaker.jobs[JOB.name]["TransformJobStatus"] = "Completed"
        assert (await runner.look(JOB)).reason == ""
        runner.stop(JOB.name)
        await asyncio.sleep(0)
        assert (await runner.look(JOB)).reason == "the job was stopped"
        with pytest.raises(TargetRefused, match="s3:// only"):
            job = replace(JOB, name="b", source=TransformInput("file:///in"))
            await runner.start(job, fleet(), lambda replicas: b"{}")

    asyncio.run(life())
    assert len(account.aws.sagemaker.jobs) == 1
