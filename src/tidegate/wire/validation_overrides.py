"""Values that are accepted beyond the service models. These are the only exceptions on the wire."""

from dataclasses import dataclass


@dataclass(frozen=True)
class _PatternOverride:
    """Replaces the pattern of a shape; for an enum, also accepts values that match the pattern."""

    pattern: str
    reason: str


ALLOWANCES: dict[tuple[str, str], _PatternOverride] = {
    ("sagemaker", "ProductionVariantInstanceType"): _PatternOverride(
        r"local([._-][A-Za-z0-9._-]{1,58})?",
        "local, or a user-defined size such as local.small, is an instance of this machine",
    ),
    ("sagemaker", "Url"): _PatternOverride(
        r"(https|s3|file)://([^/]*)/?(.*)", "model data may lie on this machine"
    ),
    ("sagemaker", "S3Uri"): _PatternOverride(
        r"(https|s3|file)://([^/]*)/?(.*)", "what a job reads and writes may lie on this machine"
    ),
    ("sagemaker", "MonitoringS3Uri"): _PatternOverride(
        r"(https|s3|file)://([^/]*)/?(.*)", "reports may be put on this machine"
    ),
    ("sagemaker", "S3ModelUri"): _PatternOverride(
        r"(https|s3|file)://([^/]*)/?(.*)", "model data may lie on this machine"
    ),
    ("sagemaker", "DestinationS3Uri"): _PatternOverride(
        r"(https|s3|file)://([^/]*)/?(.*)", "answers may be put on this machine"
    ),
    ("sagemaker-runtime", "InputLocationHeader"): _PatternOverride(
        r"(https|s3|file)://([^/]*)/?(.*)", "inputs may lie on this machine"
    ),
}
