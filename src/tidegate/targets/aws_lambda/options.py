"""Settings of the target at AWS Lambda."""

from typing import Annotated, Literal

import msgspec

from tidegate.domain.errors import Invalid
from tidegate.targets.aws.options import AwsOptions

NAME = "lambda"
LEAST_MEMORY, MOST_MEMORY = 128, 10_240
"""Megabytes (Lambda's quotas)."""
LONGEST = 900
"""Seconds (Lambda's quota)."""
LONGEST_NAME = 64
"""Characters of a function's name."""


class AwsLambdaOptions(AwsOptions, frozen=True, kw_only=True):
    role: str
    """ARN of the execution role of every function."""
    prefix: str = "tidegate-"
    """Of the names of functions; the endpoint's name follows."""
    memory: Annotated[int, msgspec.Meta(ge=LEAST_MEMORY, le=MOST_MEMORY)] = 2048
    """Megabytes of a function, where the spec says nothing."""
    timeout: Annotated[int, msgspec.Meta(ge=1, le=LONGEST)] = 60
    """Seconds that an invocation may take, a cold start included."""
    package: Literal["zip", "image"] = "zip"
    image_uri: str = ""
    """With ``package: image``: the image in ECR."""
    code_bucket: str = ""
    """Bucket in the function's region for packages over 50 MB; empty: packages are uploaded directly."""
    results: str = ""
    """``s3://bucket/prefix/`` for the answers to messages of SQS and events of EventBridge."""
    layers: tuple[str, ...] = ()
    """ARNs of layers, such as an extension for logs."""


def function_name(options: AwsLambdaOptions, endpoint: str) -> str:
    """Return the name of an endpoint's function. Raises Invalid if it is too long for Lambda."""
    name = options.prefix + endpoint
    if len(name) > LONGEST_NAME:
        raise Invalid(
            f"function name {name!r} has {len(name)} characters, and Lambda allows {LONGEST_NAME}: choose a shorter"
            " name for the endpoint, or a shorter `prefix`"
        )
    return name
