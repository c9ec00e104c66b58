"""Settings of targets at AWS; each target extends them."""

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid


class AwsAccess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Credentials come from where AWS's own tools find them: environment, profile, role of the machine."""

    region: str
    profile: str = ""
    """Profile of the AWS configuration files; empty: the default one."""
    endpoint_url: str = ""
    """Address of every service, for an emulator; empty: AWS."""
    metric_period: Annotated[int, msgspec.Meta(ge=1)] = 60
    """Seconds of a point of the metrics that rollouts are judged by."""
    metric_delay: Annotated[int, msgspec.Meta(ge=0)] = 120
    """Seconds after the end of a period until its numbers are complete."""

    @property
    def counted_after(self) -> int:
        """Seconds after a request until its period is complete, at most."""
        return self.metric_period + self.metric_delay


class AwsOptions(AwsAccess, frozen=True, kw_only=True):
    """Settings of targets at AWS that are always driven by a server."""

    deadline: float = 30.0
    """Seconds that one call may take, with its retries."""
    installation: str = ""
    """Value of the ownership tag; empty: the id of the state folder. Two installations must not share one."""


Options = TypeVar("Options", bound=AwsAccess)


def parse_options(given: Mapping[str, object], kind: type[Options], target: str) -> Options:
    """Parse the settings of a target. Raises Invalid, which names the setting."""
    try:
        return msgspec.convert(given, prepare_type(kind))
    except msgspec.ValidationError as error:
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(kind))
        raise Invalid(f"settings of target {target!r}: {error}; the settings are {known}") from None
