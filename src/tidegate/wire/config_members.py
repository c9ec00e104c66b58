"""Members of SageMaker's CreateEndpointConfig that features serve, beside the variants."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tidegate.domain.endpoint import EndpointConfig
from tidegate.domain.errors import Invalid
from tidegate.domain.rollout import Version
from tidegate.host.features import features
from tidegate.wire.operation import Params


@dataclass(frozen=True)
class ConfigMember:
    """One member, which DescribeEndpointConfig and DescribeEndpoint show as well. A feature has it for the extension
    point ``config_member``."""

    name: str
    read: Callable[[EndpointConfig, Params, Mapping[str, str]], EndpointConfig]
    """The config with what the request says, whose members and tags follow. Called for a request without the member,
    too. Raises Invalid."""
    render: Callable[[EndpointConfig], Params | None]
    """The member of a config; None: it has none."""
    describe: Callable[[Version], Params | None]
    """The member of an endpoint that runs this version."""
    tag_prefix: str = ""
    """Tags whose names begin so belong to the config. Empty: none do."""


def config_members() -> Iterator[ConfigMember]:
    """Those of the features that are on."""
    return (member for _, member in features().hooks("config_member"))


def refuse_config_tags(tags: Mapping[str, str]) -> None:
    """Raises Invalid for a tag of an endpoint that would mean something beside a member of its config only."""
    for member in config_members():
        for name in sorted(tags):
            if member.tag_prefix and name.lower().startswith(member.tag_prefix):
                raise Invalid(f"the tag {name} belongs to the endpoint config, beside {member.name}")
