"""Tags that say which installation of tidegate created a resource. Nothing without them is changed or deleted."""

from collections.abc import Mapping

from tidegate.domain.errors import TargetRefused

INSTALLATION = "tidegate:installation"
ENDPOINT = "tidegate:endpoint"


def owner_tags(installation: str, endpoint: str) -> dict[str, str]:
    return {INSTALLATION: installation, ENDPOINT: endpoint}


def is_own(tags: Mapping[str, str], installation: str, endpoint: str) -> bool:
    return owner_tags(installation, endpoint).items() <= tags.items()


def check_own(tags: Mapping[str, str], installation: str, endpoint: str, what: str) -> None:
    """Raises TargetRefused for a resource of somebody else."""
    if not is_own(tags, installation, endpoint):
        raise TargetRefused(
            f"{what} exists and does not belong to endpoint {endpoint} of this installation (tag {INSTALLATION}:"
            f" {tags.get(INSTALLATION, 'none')}); it is left as it is: remove it, or choose another name"
        )
