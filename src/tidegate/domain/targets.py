"""The targets of a platform: places where endpoints run, by name, and what each can do."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.domain.errors import Invalid
from tidegate.domain.observation import Capabilities
from tidegate.domain.suggestions import suggest

LOCAL = "local"
"""Processes of the machine that the platform runs on. Every platform has it."""
TARGET_TAG = "tidegate:target"
"""A tag in CreateEndpoint that names the target, for clients of SageMaker's API."""


@dataclass(frozen=True)
class TargetTable:
    """``default`` is the target of endpoints that name none."""

    capabilities: Mapping[str, Capabilities] = field(default_factory=lambda: {LOCAL: Capabilities()})
    default: str = LOCAL

    def of(self, name: str) -> Capabilities:
        """Raises Invalid for a target that this platform does not have."""
        found = self.capabilities.get(name)
        if found is None:
            raise Invalid(
                f"target {name!r} is not set up on this server{suggest(name, self.capabilities)}: it has"
                f" {', '.join(sorted(self.capabilities))}; further ones go into the file of TIDEGATE_TARGETS"
            )
        return found
