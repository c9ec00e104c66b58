"""The endpoints of an installation, by the tags of what it created."""

from tidegate.targets.aws.calls import Calls
from tidegate.targets.aws.ownership import ENDPOINT, INSTALLATION


async def owned_endpoints(calls: Calls, installation: str, resource_type: str) -> set[str]:
    """``resource_type`` as the tagging API has it, such as ``lambda:function``."""
    found: set[str] = set()
    members: dict[str, object] = {
        "TagFilters": [{"Key": INSTALLATION, "Values": [installation]}],
        "ResourceTypeFilters": [resource_type],
    }
    while True:
        page = await calls.call("resourcegroupstaggingapi", "GetResources", members)
        for resource in page.get("ResourceTagMappingList", ()):
            found.update(tag["Value"] for tag in resource.get("Tags", ()) if tag["Key"] == ENDPOINT)
        if not page.get("PaginationToken"):
            return found
        members = {**members, "PaginationToken": page["PaginationToken"]}
