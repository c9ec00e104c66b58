"""Settings of a target at AWS. The settings of one target extend ``AwsOptions``."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from tidegate.domain.errors import Invalid


class AwsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Credentials come from where AWS's own tools find them: environment, profile, role of the machine."""

    region: str
    profile: str = ""
    """Profile of the AWS configuration files; empty: the default one."""
    endpoint_url: str = ""
    """Address of every service, for an emulator; empty: AWS."""
    deadline: float = 30.0
    """Seconds that one call may take, with its retries."""
    metric_period: Annotated[int, msgspec.Meta(ge=1)] = 60
    """Seconds of a point of the metrics that rollouts are judged by."""
    metric_delay: Annotated[int, msgspec.Meta(ge=0)] = 120
    """Seconds after the end of a period until its numbers are complete."""
    installation: str = ""
    """Value of the ownership tag; empty: the id of the state folder. Two installations must not share one."""

    @property
    def counted_after(self) -> int:
        """Seconds after a request until its period is complete, at most."""
        return self.metric_period + self.metric_delay


Options = TypeVar("Options", bound=AwsOptions)


def parse_options(given: Mapping[str, object], kind: type[Options], target: str) -> Options:
    """Raises Invalid, which names the setting."""
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(kind))
        raise Invalid(f"settings of target {target!r}: {error}; the settings are {known}") from None
