"""ARNs, in the partition that a region belongs to."""

_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "eusc-": "aws-eusc",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
}
"""Prefix of a region's name -> its partition; all others are in ``aws``."""


def partition(region: str) -> str:
    return next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")


def resource_arn(service: str, region: str, account: str, resource: str) -> str:
    """``resource`` is like ``endpoint/fraud``."""
    return f"arn:{partition(region)}:{service}:{region}:{account}:{resource}"


def iam_arn(region: str, account: str, resource: str) -> str:
    """IAM has no region, but a partition: that of ``region``."""
    return f"arn:{partition(region)}:iam::{account}:{resource}"


def record_name(resource: str) -> str:
    """Record name for the resource part of an ARN. Numbers are padded, so that versions sort numerically."""
    group, slash, version = resource.partition("/")
    return f"{group}/{int(version):09d}" if slash and version.isascii() and version.isdigit() else resource


def resource_name(record: str) -> str:
    """Resource part of an ARN for a record name."""
    group, slash, version = record.partition("/")
    return f"{group}/{int(version)}" if slash and version.isascii() and version.isdigit() else record
