"""Run by the Python of the SageMaker SDK v2: ``sdk_monitor.py URL BUCKET``.

A user's own lines: a DefaultModelMonitor whose schedule is executed once and read, then goes on each hour, and goes.
"""

import json
import sys
import time

import boto3
import sagemaker
from sagemaker.model_monitor import CronExpressionGenerator, DefaultModelMonitor

PATIENCE = 120
"""Seconds until an execution must have ended."""


def main(url: str, bucket: str) -> None:
    boto_session = boto3.Session(region_name="us-east-1")
    session = sagemaker.Session(
        boto_session=boto_session,
        sagemaker_client=boto_session.client("sagemaker", endpoint_url=url),
        default_bucket=bucket,
    )
    monitor = DefaultModelMonitor(
        role="arn:aws:iam::123456789012:role/monitor",
        instance_count=1,
        instance_type="ml.m5.xlarge",
        sagemaker_session=session,
    )
    monitor.create_monitoring_schedule(
        endpoint_input="watched",
        output_s3_uri=f"s3://{bucket}/reports",
        statistics=f"s3://{bucket}/base/statistics.json",
        constraints=f"s3://{bucket}/base/constraints.json",
        monitor_schedule_name="by-sdk",
        schedule_cron_expression=CronExpressionGenerator.now(),
        data_analysis_start_time="-PT1H",
        data_analysis_end_time="-PT0H",
    )
    deadline = time.monotonic() + PATIENCE
    while not (executions := monitor.list_executions()):
        assert time.monotonic() < deadline, "no execution"
        time.sleep(0.5)
    found = monitor.latest_monitoring_constraint_violations().body_dict["violations"]
    rows = executions[-1].statistics().body_dict["dataset"]["item_count"]
    monitor.update_monitoring_schedule(schedule_cron_expression=CronExpressionGenerator.hourly())
    monitor.stop_monitoring_schedule()
    monitor.start_monitoring_schedule()
    attached = DefaultModelMonitor.attach("by-sdk", sagemaker_session=session)
    shown = attached.describe_schedule()
    monitor.delete_monitoring_schedule()
    left = session.sagemaker_client.list_data_quality_job_definitions()["JobDefinitionSummaries"]
    print(
        json.dumps(
            {
                "violations": found,
                "rows": rows,
                "status": shown["MonitoringScheduleStatus"],
                "expression": shown["MonitoringScheduleConfig"]["ScheduleConfig"]["ScheduleExpression"],
                "left": len(left),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
