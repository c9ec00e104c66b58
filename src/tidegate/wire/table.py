"""Every operation that is served: service -> operation -> row."""

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
    sagemaker_models,
    sagemaker_packages,
    sagemaker_recommendations,
    sagemaker_tags,
    sagemaker_transforms,
    scaling_actions,
    scaling_policies,
    scaling_targets,
    sts,
)
from tidegate.wire.operation import Rows

TABLE: dict[str, Rows] = {
    "sagemaker": {
        **sagemaker_models.ROWS,
        **sagemaker_packages.ROWS,
        **sagemaker_configs.ROWS,
        **sagemaker_endpoints.ROWS,
        **sagemaker_tags.ROWS,
        **sagemaker_transforms.ROWS,
        **sagemaker_recommendations.ROWS,
    },
    "sagemaker-runtime": {**runtime.ROWS, **runtime_async.ROWS},
    "cloudwatch": {
        **cloudwatch_alarms.ROWS,
        **cloudwatch_metrics.ROWS,
        **cloudwatch_data.ROWS,
        **cloudwatch_tags.ROWS,
    },
    "application-autoscaling": {**scaling_targets.ROWS, **scaling_policies.ROWS, **scaling_actions.ROWS},
    "logs": {**logs.ROWS, **logs_filtered.ROWS},
    "sts": sts.ROWS,
}
