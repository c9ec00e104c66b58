"""What is asked of SageMaker's inference recommender, and what its answer comes to."""

from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from tidegate.domain.errors import Invalid
from tidegate.features.recommender.configurations import Objective
from tidegate.features.recommender.sagemaker_job import SageMakerJobSpec, rank_recommendations, request
from tidegate.features.recommender.sagemaker_recommender import choose_job_name

ROLE = "arn:aws:iam::123456789012:role/sagemaker"
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/fraud/3"


def asked(**more: Any) -> SageMakerJobSpec:
    given = {"name": "job", "model": "fraud", "role": ROLE, "sample": "s3://data/s.tar.gz"}
    return SageMakerJobSpec(**{**given, "objective": Objective(95, 0.05), **more})


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"model": PACKAGE, "seconds": 600, "objective": Objective(99, 0.05)},
        {"types": ("ml.c5.large", "ml.m5.large"), "seconds": 3600},
        {"more": {"Domain": "MACHINE_LEARNING", "Framework": "XGBOOST", "SupportedContentTypes": ["text/csv"]}},
    ],
)
def test_what_is_asked_is_what_the_service_takes(more: dict[str, Any]) -> None:
    service = botocore.session.get_session().get_service_model("sagemaker")
    shape = service.operation_model("CreateInferenceRecommendationsJob").input_shape
    assert ParamValidator().validate(request(asked(**more)), shape).generate_report() == ""


def test_types_make_a_load_test_that_stops_at_the_objective() -> None:
    made = request(asked(types=("ml.c5.large",), seconds=1200))
    assert made["JobType"] == "Advanced"
    limit = {"Percentile": "P95", "ValueInMilliseconds": 50}
    assert made["StoppingConditions"] == {"ModelLatencyThresholds": [limit]}
    phases = made["InputConfig"]["TrafficPattern"]["Phases"]
    assert sum(phase["DurationInSeconds"] for phase in phases) <= 1200
    plain = request(asked(model=PACKAGE))
    assert plain["JobType"] == "Default" and "StoppingConditions" not in plain
    assert plain["InputConfig"]["ModelPackageVersionArn"] == PACKAGE and "ModelName" not in plain["InputConfig"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"types": ("ml.c5.large",), "objective": Objective(99, 0.05)}, "say p95=TIME"),
        ({"objective": Objective(50, 0.05)}, "knows p95 and p99"),
        ({"seconds": 20_000}, "may take 5 hours"),
    ],
)
def test_what_sagemaker_does_not_know_is_said_before_it_is_asked(more: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        asked(**more)


def recommendation(kind: str, hourly: float, per_minute: int, milliseconds: int) -> dict[str, Any]:
    return {
        "Metrics": {"CostPerHour": hourly, "MaxInvocations": per_minute, "ModelLatency": milliseconds},
        "EndpointConfiguration": {"EndpointName": "e", "VariantName": "v", "InstanceType": kind},
        "ModelConfiguration": {"EnvironmentParameters": [{"Key": "A", "ValueType": "String", "Value": "1"}]},
    }


SERVERLESS = {
    "Metrics": {"CostPerHour": 0.1, "MaxInvocations": 60, "ModelLatency": 5},
    "EndpointConfiguration": {"EndpointName": "e", "VariantName": "v", "ServerlessConfig": {}},
    "ModelConfiguration": {},
}


def test_the_lowest_month_of_those_within_the_objective_comes_first() -> None:
    given = [
        recommendation("ml.c5.xlarge", 0.204, 12_000, 20),
        recommendation("ml.c5.large", 0.102, 3_000, 30),
        recommendation("ml.t2.medium", 0.056, 60_000, 80),
        recommendation("ml.m5.large", 0.115, 0, 5),
        SERVERLESS,
    ]
    first, second = rank_recommendations(given, Objective(95, 0.05), 300)
    assert (first.instance_type, first.instances) == ("ml.c5.xlarge", 3)
    assert (second.instance_type, second.instances) == ("ml.c5.large", 9)
    assert first.per_thousand == pytest.approx(1000 * 0.204 / (60 * 12_000))
    assert (first.target, first.latency, first.environment) == (8400, 0.02, {"A": "1"})
    assert first.month == pytest.approx(3 * 0.204 * 730)


def test_nothing_within_the_objective_is_said_with_the_nearest() -> None:
    with pytest.raises(Invalid, match=r"within 5 ms; the nearest was 20 ms"):
        rank_recommendations([recommendation("ml.c5.xlarge", 0.204, 12_000, 20)], Objective(95, 0.005), 300)


def test_a_job_is_named_by_the_model_and_the_time() -> None:
    assert choose_job_name(PACKAGE, "").startswith("fraud-3-20")
    assert choose_job_name("fraud", "mine") == "mine"
    with pytest.raises(Invalid, match="--with job=a_b"):
        choose_job_name("fraud", "a_b")
