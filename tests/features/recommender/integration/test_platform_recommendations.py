"""Recommendation jobs on a whole platform: boto3, a real load, a stop, and SIGKILL of whatever takes part."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROLE = "arn:aws:iam::000000000000:role/any"
ROW = ",".join(["0.5"] * 30)
EASY = {"ModelLatencyThresholds": [{"Percentile": "P95", "ValueInMilliseconds": 20_000}], "MaxInvocations": 600}
ENDED = ("COMPLETED", "FAILED", "STOPPED")
TYPES = {"ml.c5.large", "ml.m5.large"}


@dataclass
class Asking(Scene):
    """``sample``: the address of rows to send."""

    sample: str = ""


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(environment={"TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


@pytest.fixture(scope="module")
def scene(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Asking:
    folder = tmp_path_factory.mktemp("trained")
    made = Asking(platform, sample=(folder / "rows.csv").as_uri())
    (folder / "rows.csv").write_text(f"{ROW}\n{ROW}\n")
    container = {"Image": "tidegate/xgboost", "ModelDataUrl": train(folder, 1)}
    made.sagemaker.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    return made


def start(scene: Asking, name: str, **more: Any) -> None:
    scene.sagemaker.create_inference_recommendations_job(
        JobName=name,
        JobType="Advanced",
        RoleArn=ROLE,
        InputConfig={
            "ModelName": "m",
            "ContainerConfig": {"PayloadConfig": {"SamplePayloadUrl": scene.sample}},
            "JobDurationInSeconds": 1,
            "ResourceLimit": {"MaxNumberOfTests": 1},
            "EndpointConfigurations": [{"InstanceType": each} for each in sorted(TYPES)],
            **more,
        },
        StoppingConditions=EASY,
    )


def describe(scene: Asking, name: str) -> dict[str, Any]:
    found: dict[str, Any] = scene.sagemaker.describe_inference_recommendations_job(JobName=name)
    return found


def ended(scene: Asking, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = describe(scene, name)
        return found if found["Status"] in ENDED else None

    return wait_until(look, f"{name} has ended", 240, every=0.2)


def of_job(platform: Platform, name: str) -> list[psutil.Process]:
    """The job's own process and everything of the server that it loads."""
    mark = f"{platform.state}/recommendations/{name}/"
    return [each for each in platform.processes() if mark in " ".join(_command(each))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def gone(platform: Platform, name: str) -> None:
    folder = Path(platform.state) / "recommendations" / name
    wait_until(lambda: not folder.exists(), f"nothing is left of {name}", 60)
    assert of_job(platform, name) == []


def test_a_killed_controller_and_job_end_with_recommendations(platform: Platform, scene: Asking) -> None:
    start(scene, "job")
    start(scene, "waits", JobDurationInSeconds=600, ResourceLimit={"MaxNumberOfTests": 10})
    wait_until(lambda: len(of_job(platform, "job")) > 1, "the job's server has started", 120)
    assert describe(scene, "waits")["Status"] == "PENDING"
    platform.kill_controller()
    (own,) = (each for each in of_job(platform, "job") if "tidegate.features.recommender" in _command(each))
    os.kill(own.pid, signal.SIGKILL)
    platform.start()
    found = ended(scene, "job")
    assert found["Status"] == "COMPLETED", found
    recommended = found["InferenceRecommendations"]
    assert {each["EndpointConfiguration"]["InstanceType"] for each in recommended} == TYPES
    for each in recommended:
        metrics = each["Metrics"]
        assert metrics["MaxInvocations"] > 0
        assert metrics["CostPerInference"] == pytest.approx(
            metrics["CostPerHour"] / 60 / metrics["MaxInvocations"]
        )
        assert 0 < metrics["ModelLatency"] <= 20_000
        assert 0 < metrics["CpuUtilization"] <= 100
        assert 0 < metrics["MemoryUtilization"] < 100
        keys = [parameter["Key"] for parameter in each["ModelConfiguration"]["EnvironmentParameters"]]
        assert keys == ["MAX_BATCH_ROWS", "OMP_NUM_THREADS"]
    (step,) = scene.sagemaker.list_inference_recommendations_job_steps(JobName="job")["Steps"]
    assert step["Status"] == "COMPLETED"
    assert step["InferenceBenchmark"]["EndpointMetrics"]["MaxInvocations"] <= 600
    gone(platform, "job")

    wait_until(lambda: len(of_job(platform, "waits")) > 1, "the second job's server has started", 120)
    scene.sagemaker.stop_inference_recommendations_job(JobName="waits")
    assert ended(scene, "waits")["Status"] == "STOPPED"
    gone(platform, "waits")


def asked(scene: Asking, *options: str) -> subprocess.Popen[str]:
    """``tidegate recommend --on sagemaker``, whose SageMaker is the platform. It listens to SIGINT, also where tests
    run in a shell's background and so ignore it, as do the processes that they start."""
    command = [
        sys.executable,
        "-m",
        "tidegate.cli",
        "recommend",
        "--on",
        "sagemaker",
        "--role",
        ROLE,
        "--model",
        "m",
    ]
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    return subprocess.Popen(
        [*command, "--sample", scene.sample, "--slo", "p95=20s", "--region", "us-east-1", *options],
        env={**os.environ, **keys, "AWS_ENDPOINT_URL_SAGEMAKER": scene.platform.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_the_command_asks_sagemaker_and_reads_its_answer(platform: Platform, scene: Asking) -> None:
    types = f"types={','.join(sorted(TYPES))}"
    run = asked(scene, "--rps", "10", "--budget", "1s", "--with", types, "--with", "job=by-command", "--json")
    out, err = run.communicate(timeout=240)
    assert run.returncode == 0, err
    assert "by-command: completed, " in err and " configurations measured" in err
    told = json.loads(out)
    assert {offer["instance_type"] for offer in told["offers"]} == TYPES
    found = {
        each["EndpointConfiguration"]["InstanceType"]: each["Metrics"]
        for each in describe(scene, "by-command")["InferenceRecommendations"]
    }
    for offer in told["offers"]:
        metrics = found[offer["instance_type"]]
        assert offer["per_thousand"] == pytest.approx(1000 * metrics["CostPerInference"])
        assert offer["rate"] == pytest.approx(metrics["MaxInvocations"] / 60)
        assert offer["instances"] * offer["rate"] >= 10
    gone(platform, "by-command")


@pytest.mark.timeout(900)
def test_who_stops_the_command_stops_the_job(platform: Platform, scene: Asking) -> None:
    run = asked(scene, "--with", "job=left")
    wait_until(lambda: len(of_job(platform, "left")) > 1, "the job's server has started", 300)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=300)
    assert run.returncode != 0 and "stopping left" in err
    assert ended(scene, "left")["Status"] == "STOPPED"
    gone(platform, "left")


def test_a_job_that_cannot_be_done_fails_with_a_reason(platform: Platform, scene: Asking) -> None:
    payload = {"PayloadConfig": {"SamplePayloadUrl": "file:///nowhere/rows.csv"}}
    start(scene, "nothing", ContainerConfig=payload)
    found = ended(scene, "nothing")
    assert (found["Status"], found["FailureReason"]) == (
        "FAILED",
        "file:///nowhere/rows.csv: there is no such file",
    )
    gone(platform, "nothing")
