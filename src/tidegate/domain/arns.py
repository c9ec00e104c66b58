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
