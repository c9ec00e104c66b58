"""Settings of an endpoint that follows a registry."""

from dataclasses import dataclass

FOLLOW = "model.follow"
"""Its key among the sections of a deployment."""


@dataclass(frozen=True)
class FollowSettings:
    """``address``: of an alias or a group. ``every``: seconds between two looks. ``restore``: whether the alias moves
    back after a rollback. ``version``: address of the version that is deployed. ``spec``: the spec as it was written,
    as JSON, which is deployed anew with each version."""

    address: str
    every: int
    restore: bool
    version: str
    spec: str
