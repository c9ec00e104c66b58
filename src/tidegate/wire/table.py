"""Every served operation: service -> operation name -> operation."""

from tidegate.wire import (
    cloudwatch_alarms,
    cloudwatch_data,
    cloudwatch_metrics,
    cloudwatch_tags,
    logs,
    logs_filtered,
    runtime,
    runtime_async,
    sagemaker_configs,
    sagemaker_endpoints,
    sagemaker_experiments,
    sagemaker_models,
    sagemaker_monitoring,
    sagemaker_monitoring_jobs,
    sagemaker_packages,
    sagemaker_processing,
    sagemaker_recommendations,
    sagemaker_tags,
    sagemaker_transforms,
    scaling_actions,
    scaling_policies,
    scaling_targets,
    sts,
)
from tidegate.wire.operation import Operations

TABLE: dict[str, Operations] = {
    "sagemaker": {
        **sagemaker_models.OPERATIONS,
        **sagemaker_packages.OPERATIONS,
        **sagemaker_configs.OPERATIONS,
        **sagemaker_endpoints.OPERATIONS,
        **sagemaker_tags.OPERATIONS,
        **sagemaker_transforms.OPERATIONS,
        **sagemaker_recommendations.OPERATIONS,
        **sagemaker_experiments.OPERATIONS,
        **sagemaker_monitoring_jobs.OPERATIONS,
        **sagemaker_monitoring.OPERATIONS,
        **sagemaker_processing.OPERATIONS,
    },
    "sagemaker-runtime": {**runtime.OPERATIONS, **runtime_async.OPERATIONS},
    "cloudwatch": {
        **cloudwatch_alarms.OPERATIONS,
        **cloudwatch_metrics.OPERATIONS,
        **cloudwatch_data.OPERATIONS,
        **cloudwatch_tags.OPERATIONS,
    },
    "application-autoscaling": {
        **scaling_targets.OPERATIONS,
        **scaling_policies.OPERATIONS,
        **scaling_actions.OPERATIONS,
    },
    "logs": {**logs.OPERATIONS, **logs_filtered.OPERATIONS},
    "sts": sts.OPERATIONS,
}
