"""Definitions and schedules of bias through boto3, and the metrics of their executions."""

from typing import Any

from tests.features.monitor.wire.test_sagemaker_model_quality import JOB as QUALITY_JOB
from tests.features.monitor.wire.test_sagemaker_monitoring import (
    HOURLY,
    IMAGE,
    Monitor,
    config,
    described,
    monitor,
)
from tests.features.monitor.wire.test_sagemaker_processing import CLARIFY
from tests.served_wire import ACCOUNT, REGION
from tests.wire.test_sagemaker_endpoints import refused
from tidegate.features.monitor.model_quality import ProblemType, QualityTerms
from tidegate.features.monitor.schedule_records import BiasSource, ExecutionOutcome, ExecutionStatus, FacetMetric

__all__ = ["monitor"]
INPUT = {
    "EndpointName": "fraud",
    "LocalPath": "/opt/ml/processing/input/endpoint",
    "FeaturesAttribute": "$.features",
    "InferenceAttribute": "label",
}
JOB: dict[str, Any] = {
    "JobDefinitionName": "bias",
    "ModelBiasBaselineConfig": {"ConstraintsResource": {"S3Uri": "s3://b/base/analysis.json"}},
    "ModelBiasAppSpecification": {"ImageUri": CLARIFY, "ConfigUri": "s3://b/analysis_config.json"},
    "ModelBiasJobInput": {"EndpointInput": INPUT, "GroundTruthS3Input": {"S3Uri": "s3://b/truth"}},
    "ModelBiasJobOutputConfig": QUALITY_JOB["ModelQualityJobOutputConfig"],
    "JobResources": QUALITY_JOB["JobResources"],
    "RoleArn": QUALITY_JOB["RoleArn"],
}
OF = {"BiasStage": "Post-Training", "Label": "approved", "LabelValue": "1", "Facet": "country"}


def test_executions_measure_bias_and_publish_it_by_group(sagemaker: Any, monitor: Monitor) -> None:
    arn = sagemaker.create_model_bias_job_definition(**JOB)["JobDefinitionArn"]
    assert arn == f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-bias-job-definition/bias"
    found = sagemaker.describe_model_bias_job_definition(JobDefinitionName="bias")
    assert {name: found[name] for name in JOB} == JOB
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "risk"}])
    sagemaker.create_monitoring_schedule(
        MonitoringScheduleName="hourly",
        MonitoringScheduleConfig={**config(HOURLY, "bias"), "MonitoringType": "ModelBias"},
    )
    measured = (
        FacetMetric("bias_metric_DPPL", 0.2, {**OF, "FacetValue": "DE"}),
        FacetMetric("bias_metric_DPPL", 0.1, {**OF, "FacetValue": "größe"}),
    )
    monitor.analyst.measured = ExecutionOutcome(ExecutionStatus.COMPLETED, faceted=measured)
    monitor.turn(3_660)
    [task] = monitor.analyst.labelled
    assert task.bias == BiasSource("s3://b/analysis_config.json", "features")
    assert task.quality == QualityTerms(ProblemType.MULTICLASS, "label")
    assert task.constraints == "s3://b/base/analysis.json"
    assert described(sagemaker)["LastMonitoringExecutionSummary"]["MonitoringType"] == "ModelBias"
    cloudwatch = monitor.wire.client("cloudwatch")
    [metric] = cloudwatch.list_metrics(Namespace="aws/sagemaker/Endpoints/bias-metrics")["Metrics"]
    assert metric["MetricName"] == "bias_metric_DPPL"
    assert {pair["Name"]: pair["Value"] for pair in metric["Dimensions"]} == {
        **OF,
        "FacetValue": "DE",
        "Endpoint": "fraud",
        "MonitoringSchedule": "hourly",
    }
    sagemaker.delete_monitoring_schedule(MonitoringScheduleName="hourly")
    sagemaker.delete_model_bias_job_definition(JobDefinitionName="bias")
    assert sagemaker.list_model_bias_job_definitions()["JobDefinitionSummaries"] == []


def test_what_a_definition_may_not_have_is_named(sagemaker: Any, monitor: Monitor) -> None:
    app = JOB["ModelBiasAppSpecification"]
    places = {**JOB["ModelBiasJobInput"], "EndpointInput": {**INPUT, "FeaturesAttribute": "a[*]"}}
    for changes, said in (
        (
            {"ModelBiasAppSpecification": {**app, "ImageUri": IMAGE}},
            "sagemaker-clarify-processing, or tidegate/clarify",
        ),
        (
            {"ModelBiasAppSpecification": {**app, "ConfigUri": "https://h/x"}},
            "ConfigUri 'https://h/x' is no address",
        ),
        ({"ModelBiasBaselineConfig": {"BaseliningJobName": "b"}}, "baselines of bias are not made here"),
        ({"ModelBiasJobInput": places}, "'a[*]' is no place"),
    ):
        code, _, message = refused(sagemaker.create_model_bias_job_definition, **{**JOB, **changes})
        assert code == "ValidationException" and said in message, message
