"""Tags that say who created a resource. Nothing without them is changed or deleted."""

from collections.abc import Iterable, Mapping
from typing import Any

from tidegate.domain.errors import TargetRefused
from tidegate.targets.aws.client import Calls

INSTALLATION = "tidegate:installation"
ENDPOINT = "tidegate:endpoint"
MANAGED = "tidegate:managed"
ACCOUNT = None
"""In place of an installation's id: SageMaker's endpoints belong to their account, since commands deploy to them
without a server."""
TAG_NAMES = ("Key", "Value")
"""What most services call the parts of a tag."""


def owner_tags(installation: str | None, endpoint: str) -> dict[str, str]:
    owner = {MANAGED: "true"} if installation is ACCOUNT else {INSTALLATION: installation}
    return {**owner, ENDPOINT: endpoint}


def is_own(tags: Mapping[str, str], installation: str | None, endpoint: str) -> bool:
    return owner_tags(installation, endpoint).items() <= tags.items()


def check_own(tags: Mapping[str, str], installation: str | None, endpoint: str, what: str) -> None:
    """Check by its tags that a resource is ours. Raises TargetRefused for a resource of somebody else."""
    if is_own(tags, installation, endpoint):
        return
    own = owner_tags(installation, endpoint)
    owner = next(iter(own))
    raise TargetRefused(
        f"{what} exists and does not belong to endpoint {endpoint} of"
        f" {'tidegate' if installation is ACCOUNT else 'this installation'} (tag {owner}: {tags.get(owner, 'none')});"
        " it is left as it is: remove it, choose another name, or tag it"
        f" {' and '.join(f'{key}={value}' for key, value in own.items())} to hand it over"
    )


def tag_list(tags: Mapping[str, str], names: tuple[str, str] = TAG_NAMES) -> list[dict[str, str]]:
    """Tags as a service takes them."""
    key, value = names
    return [{key: name, value: text} for name, text in tags.items()]


def parse_tags(answer: Iterable[Mapping[str, Any]], names: tuple[str, str] = TAG_NAMES) -> dict[str, str]:
    """Tags from a service's answer."""
    key, value = names
    return {str(one[key]): str(one.get(value, "")) for one in answer}


async def owned_endpoints(calls: Calls, installation: str, resource_type: str) -> set[str]:
    """The endpoints of an installation. ``resource_type`` as the tagging API has it, such as ``lambda:function``."""
    found: set[str] = set()
    members: dict[str, object] = {
        "TagFilters": [{"Key": INSTALLATION, "Values": [installation]}],
        "ResourceTypeFilters": [resource_type],
    }
    while True:
        page = await calls.call("resourcegroupstaggingapi", "GetResources", members)
        for resource in page.get("ResourceTagMappingList", ()):
            tags = parse_tags(resource.get("Tags", ()))
            found |= {tags[ENDPOINT]} if ENDPOINT in tags else set()
        if not page.get("PaginationToken"):
            return found
        members = {**members, "PaginationToken": page["PaginationToken"]}
