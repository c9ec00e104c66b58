"""Options of the target: where deployments go and what may be done on the way."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, field

from tidegate.domain.errors import Invalid
from tidegate.targets.aws.options import AwsAccess
from tidegate.targets.aws.options import parse_options as parse

_ROLE = r"arn:aws[a-z\-]*:iam::\d{12}:role/[\w+=,.@/\-]+"
_REGION = r"[a-z]{2,4}(-[a-z]+)+-\d"
_BUCKET = r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]"


class Mode(StrEnum):
    NATIVE = "native"
    """SageMaker's deployment guardrails shift the traffic; no controller runs."""
    ENGINE = "engine"
    """The platform's rollout machine shifts the traffic between two variants."""


class SagemakerOptions(AwsAccess, frozen=True, kw_only=True):
    """``role_arn`` is the execution role, which SageMaker takes on to read the model data and pull the image."""

    role_arn: str
    mode: Mode = Mode.NATIVE
    bucket: str = ""
    """Where local model data goes; needed only if there is some."""
    prefix: str = "tidegate"
    """First part of its keys, without slashes at the ends."""
    images: dict[str, str] = field(default_factory=dict)
    """Image of a spec -> address in ECR, before everything else."""
    instance_type: str = ""
    """For variants whose spec names none (``local``)."""
    accept_all_at_once: bool = False
    """Go on without steps or alarms where SageMaker has no guardrails for the endpoint."""
    accept_larger_steps: bool = False
    """Go on where whole instances make a first step larger than the spec's."""
    keep_versions: Annotated[int, Meta(ge=1)] = 5
    """Models and configs of this many earlier versions stay."""
    subnets: list[str] = field(default_factory=list)
    security_groups: list[str] = field(default_factory=list)
    kms_key: str = ""
    """Encrypts the volumes of the instances."""
    enhanced_metrics: bool = False
    """Publish metrics every 10 seconds (MetricsConfig), so that alarms may have such periods."""
    metric_delay: Annotated[int, Meta(ge=0)] = 180
    poll: Annotated[float, Meta(gt=0)] = 10.0
    """Engine mode: seconds between looks at an endpoint that changes; three times that otherwise. AWS throttles who
    asks more often."""

    @property
    def partition(self) -> str:
        return self.role_arn.split(":")[1]

    @property
    def account(self) -> str:
        return self.role_arn.split(":")[4]


def parse_options(data: Mapping[str, object]) -> SagemakerOptions:
    """Parse and check the options of the target. Raises Invalid, with the name of the option."""
    options = parse(data, SagemakerOptions, "sagemaker")
    checks: tuple[tuple[str, str, str, Any], ...] = (
        ("region", options.region, _REGION, "a region such as eu-central-1"),
        ("role_arn", options.role_arn, _ROLE, "arn:aws:iam::ACCOUNT:role/NAME"),
        ("bucket", options.bucket, f"|{_BUCKET}", "the name of an S3 bucket"),
        ("prefix", options.prefix, r"[\w\-.]+(/[\w\-.]+)*", "a key prefix without slashes at the ends"),
        ("instance_type", options.instance_type, r"|ml\.[a-z0-9\-]+\.[a-z0-9\-]+", "such as ml.c5.large"),
    )
    for name, value, pattern, expected in checks:
        if not re.fullmatch(pattern, value):
            raise Invalid(f"settings of target 'sagemaker': {name}: {value!r}: expected {expected}")
    if bool(options.subnets) != bool(options.security_groups):
        raise Invalid("settings of target 'sagemaker': give both subnets and security_groups, or neither")
    return options
