"""Run by the Python of the SageMaker SDK, v2 or v3: ``sdk_quality.py BUCKET FOLDER``.

A user's own lines: baselines that the SDK suggests, and schedules of data quality and of model quality with them. The
clients find their servers by AWS's environment variables. What came of it is printed as one line of JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import boto3

try:
    from sagemaker.core import model_monitor as mm
    from sagemaker.core.clarify import BiasConfig
    from sagemaker.core.helper.session_helper import Session

    V3 = True
except ImportError:
    from sagemaker import Session
    from sagemaker import model_monitor as mm
    from sagemaker.clarify import BiasConfig

    V3 = False

ROLE = "arn:aws:iam::123456789012:role/monitor"
PATIENCE = 120
"""Seconds until an execution must have ended."""
WINDOW = {"data_analysis_start_time": "-PT1H", "data_analysis_end_time": "-PT0H"}


def main(bucket: str, folder: str) -> None:
    session = Session(boto3.Session(region_name="us-east-1"), default_bucket=bucket)
    found = {
        "data": monitor_data(session, bucket, folder),
        "model": monitor_model(session, bucket, folder),
        "bias": monitor_bias(session, bucket),
    }
    print("\n" + json.dumps(found))  # the SDK prints dots without an end


def monitor_data(session: Session, bucket: str, folder: str) -> dict[str, Any]:
    monitor = mm.DefaultModelMonitor(role=ROLE, sagemaker_session=session)
    monitor.suggest_baseline(
        baseline_dataset=f"{folder}/train.csv",
        dataset_format=mm.DatasetFormat.csv(header=True),
        output_s3_uri=f"s3://{bucket}/data-baseline",
        wait=True,
        logs=False,
    )
    statistics, constraints = monitor.baseline_statistics(), monitor.suggested_constraints()
    monitor.create_monitoring_schedule(
        endpoint_input="watched",
        output_s3_uri=f"s3://{bucket}/reports",
        statistics=statistics,
        constraints=constraints,
        schedule_cron_expression=mm.CronExpressionGenerator.now(),
        **WINDOW,
    )
    executions = wait(monitor)
    violations = monitor.latest_monitoring_constraint_violations().body_dict["violations"]
    rows = executions[-1].statistics().body_dict["dataset"]["item_count"]
    monitor.delete_monitoring_schedule()
    return {
        "baseline": statistics.body_dict["dataset"]["item_count"],
        "features": [one["name"] for one in constraints.body_dict["features"]],
        "violated": sorted({one["feature_name"] for one in violations}),
        "rows": rows,
    }


def monitor_model(session: Session, bucket: str, folder: str) -> dict[str, Any]:
    monitor = mm.ModelQualityMonitor(role=ROLE, sagemaker_session=session)
    job = monitor.suggest_baseline(
        baseline_dataset=f"{folder}/validation.csv",
        dataset_format=mm.DatasetFormat.csv(header=True),
        output_s3_uri=f"s3://{bucket}/model-baseline",
        problem_type="BinaryClassification",
        inference_attribute="prediction",
        probability_attribute="probability",
        ground_truth_attribute="label",
    )
    job.wait(logs=False)
    baseline = monitor.latest_baselining_job
    thresholds = baseline.suggested_constraints().body_dict["binary_classification_constraints"]
    suggested = baseline.baseline_statistics().body_dict["binary_classification_metrics"]
    monitor.create_monitoring_schedule(
        endpoint_input=mm.EndpointInput(
            endpoint_name="watched",
            destination="/opt/ml/processing/input/endpoint",
            probability_attribute="0",
            probability_threshold_attribute=0.5,
        ),
        ground_truth_input=f"s3://{bucket}/truth",
        problem_type="BinaryClassification",
        output_s3_uri=f"s3://{bucket}/reports",
        constraints=baseline.suggested_constraints(),
        schedule_cron_expression=mm.CronExpressionGenerator.now(),
        **WINDOW,
    )
    executions = wait(monitor)
    statistics = executions[-1].statistics().body_dict
    violations = monitor.latest_monitoring_constraint_violations().body_dict["violations"]
    name = monitor.monitoring_schedule_name
    attached = mm.ModelQualityMonitor.attach(name, sagemaker_session=session)
    kind = attached.describe_schedule()["MonitoringType"]
    monitor.delete_monitoring_schedule()
    left = session.sagemaker_client.list_model_quality_job_definitions()["JobDefinitionSummaries"]
    return {
        "baseline": suggested["accuracy"]["value"],
        "threshold": thresholds["accuracy"]["threshold"],
        "labelled": statistics["dataset"]["item_count"],
        "accuracy": statistics["binary_classification_metrics"]["accuracy"]["value"],
        "violated": sorted(one["metric_name"] for one in violations),
        "schedule": name,
        "type": kind,
        "left": len(left),
    }


def monitor_bias(session: Session, bucket: str) -> dict[str, Any]:
    monitor = mm.ModelBiasMonitor(role=ROLE, sagemaker_session=session)
    config = BiasConfig(label_values_or_threshold=[1], facet_name="b", facet_values_or_threshold=[0.5])
    headers = ["label", "amount", "b", "c", "d"]
    monitor.create_monitoring_schedule(
        endpoint_input=mm.EndpointInput(
            endpoint_name="watched",
            destination="/opt/ml/processing/input/endpoint",
            probability_attribute="0",
            probability_threshold_attribute=0.5,
        ),
        ground_truth_input=f"s3://{bucket}/truth",
        analysis_config=mm.BiasAnalysisConfig(config, headers=headers, label="label"),
        output_s3_uri=f"s3://{bucket}/bias-reports",
        schedule_cron_expression=mm.CronExpressionGenerator.now(),
        **WINDOW,
    )
    place = wait_for_report(session, monitor).removeprefix(f"s3://{bucket}/")
    found = {name: read(session, bucket, f"{place}/{name}.json") for name in ("analysis", "constraint_violations")}
    [facet] = found["analysis"]["post_training_bias_metrics"]["facets"]["b"]
    monitor.delete_monitoring_schedule()
    return {
        "violations": len(found["constraint_violations"]["violations"]),
        "measures": sorted(one["name"] for one in facet["metrics"]),
    }


def wait_for_report(session: Session, monitor: Any) -> str:
    """Where it is. ``list_executions`` of the SDK v3 looks for attributes that its own executions do not have."""
    if not V3:
        return str(wait(monitor)[-1].output.destination)
    client, deadline = session.sagemaker_client, time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < deadline, "no execution"
        time.sleep(0.5)
        last = monitor.describe_schedule().get("LastMonitoringExecutionSummary")
        if last is not None:
            job = client.describe_processing_job(ProcessingJobName=last["ProcessingJobArn"].rpartition("/")[2])
            return str(job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"])


def read(session: Session, bucket: str, key: str) -> Any:
    return json.loads(session.boto_session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def wait(monitor: Any) -> list[Any]:
    deadline = time.monotonic() + PATIENCE
    while not (executions := monitor.list_executions()):
        assert time.monotonic() < deadline, "no execution"
        time.sleep(0.5)
    return list(executions)


if __name__ == "__main__":
    main(sys.argv[1], str(Path(sys.argv[2]).absolute()))
