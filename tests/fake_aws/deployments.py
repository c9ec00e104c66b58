"""How a change of an endpoint goes on at AWS: provisioning, shifting, baking, rolling back; and what hangs."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

Params = dict[str, Any]
PROVISION, SHIFT, ROLLBACK, RESIZE = 300, 20, 60, 120
"""Seconds."""


@dataclass
class FakeVariant:
    name: str
    model: str
    type: str
    count: int
    weight: float
    desired_count: int
    desired_weight: float
    serverless: Params | None = None

    def summary(self) -> Params:
        made: Params = {
            "VariantName": self.name,
            "CurrentWeight": self.weight,
            "DesiredWeight": self.desired_weight,
        }
        if self.serverless is not None:
            return made | {"CurrentServerlessConfig": self.serverless}
        return made | {"CurrentInstanceCount": self.count, "DesiredInstanceCount": self.desired_count}


@dataclass
class FakeDeployment:
    """A change to ``config`` that is under way. ``shares`` and ``bakes`` are those of its stages."""

    config: str
    variants: dict[str, FakeVariant]
    shares: list[float]
    bakes: list[int]
    guards: list[str]
    since: datetime
    until: datetime
    expires: datetime
    phase: str = "Creating"
    stage: int = -1

    @property
    def share(self) -> float:
        """Of the traffic that the new version has now."""
        return self.shares[self.stage] if self.stage >= 0 else 0.0

    def enter(self, phase: str, now: datetime, seconds: float) -> None:
        self.phase, self.since, self.until = phase, now, now + timedelta(seconds=seconds)

    def summary(self) -> Params:
        status = [{"Status": self.phase, "StatusMessage": "", "StartTime": self.since}]
        return {
            "EndpointConfigName": self.config,
            "StartTime": self.since,
            "ProductionVariants": [
                {
                    "VariantName": one.name,
                    "DesiredWeight": one.desired_weight,
                    "DesiredInstanceCount": one.desired_count,
                    "VariantStatus": status,
                }
                for one in self.variants.values()
            ],
        }


@dataclass
class FakeEndpoint:
    name: str
    arn: str
    config: str
    status: str
    created: datetime
    modified: datetime
    variants: dict[str, FakeVariant]
    until: datetime
    """When Creating, RollingBack, a resize or Deleting ends."""
    tags: dict[str, str] = field(default_factory=dict)
    pending: FakeDeployment | None = None
    reason: str | None = None
    deployment: Params | None = None
    history: list[tuple[str, float]] = field(default_factory=list)
    """(config, share of the traffic) of each new version, in order."""

    def describe(self) -> Params:
        made: Params = {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointConfigName": self.config,
            "EndpointStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
        }
        if self.status != "Creating" and self.status != "Failed":
            made["ProductionVariants"] = [one.summary() for one in self.variants.values()]
        if self.pending is not None:
            made["PendingDeploymentSummary"] = self.pending.summary()
        if self.reason:
            made["FailureReason"] = self.reason
        if self.deployment:
            made["LastDeploymentConfig"] = self.deployment
        return made
