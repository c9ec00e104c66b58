"""What a target supplies so that the scenarios can run on it, and what they use of a platform."""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tidegate.cli.client import ApiClient, ServerError
from tidegate.host.platform import Platform, wait_until

GOOD, BETTER, FAILING, SLOW, UNSTARTABLE = "good", "better", "failing", "slow", "unstartable"
"""Versions of a model. FAILING answers every request with a 500, SLOW takes a second, UNSTARTABLE never starts."""
LIMIT, NEVER_REACHED = "500ms", "30s"
"""Limits of the latency alarm: for the version that is slow on purpose, and for all others, which a busy machine must
not turn back."""


@dataclass(frozen=True)
class Traffic:
    """Requests so far: ``failed`` have no answer or a status other than 2xx; ``served``: config -> answers of it."""

    sent: int
    failed: int
    served: Mapping[str, int]


class Load(Protocol):
    def seen(self) -> Traffic: ...


class Lab(Protocol):
    """One target with a platform that deploys to it."""

    target: str
    platform: Platform
    patience: float
    """Seconds that the longest scenario may wait for one state."""
    differences: Mapping[str, str]
    """Scenario -> why this target cannot show it. Written beside the table."""

    def model(self, version: str) -> dict[str, Any]:
        """The ``model`` section of a spec."""
        ...

    def load(self, endpoint: str) -> AbstractContextManager[Load]:
        """Some 50 requests a second, through the target's own front door."""
        ...

    def away(self) -> AbstractContextManager[None]:
        """The target's API cannot be reached; what serves goes on."""
        ...

    def left(self, endpoint: str) -> list[str]:
        """Names of what exists of the endpoint on the target itself, by its own API."""
        ...


@dataclass
class Deployed:
    """An endpoint of a scenario, driven by the native API as the command line does."""

    lab: Lab
    name: str
    instances: int = 2
    last: dict[str, Any] = field(default_factory=dict)

    @property
    def server(self) -> ApiClient:
        return ApiClient({"TIDEGATE_URL": self.lab.platform.url})

    def spec(self, version: str, rollout: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """With alarms for errors and latency of the new version."""
        limit = LIMIT if version == SLOW else NEVER_REACHED
        alarm = {"period": "1s", "periods": 2, "scope": "new_version"}
        return {
            "endpoint": self.name,
            "target": self.lab.target,
            "model": self.lab.model(version),
            "instances": self.instances,
            "startup_timeout": "60s",
            "rollout": dict(rollout or {"strategy": "all_at_once"}),
            "alarms": {
                "errors": {"metric": "Invocation5XXErrors", "statistic": "Average", "above": "20%", **alarm},
                "latency": {"metric": "ModelLatency", "statistic": "p90", "above": limit, **alarm},
            },
        }

    def deploy(self, version: str, rollout: Mapping[str, Any] | None = None, supersede: bool = False) -> str:
        """Begin to deploy. Returns the config's name."""
        done = self.server.deploy(self.spec(version, rollout), "conformance", override=False, supersede=supersede)
        return str(done["config"])

    def command(self, what: str) -> None:
        self.server.rollout(self.name, what, "conformance")

    def state(self) -> dict[str, Any]:
        """The status document; empty for an endpoint that is gone."""
        try:
            self.last = self.server.endpoint(self.name)
        except ServerError as error:
            if error.status != 404:
                raise
            self.last = {}
        return self.last

    def until(self, what: str, ready: Any) -> dict[str, Any]:
        """Wait for a state; returns the document in which ``ready`` was true."""

        def look() -> dict[str, Any] | None:
            found = self.state()
            return {"found": found} if ready(found) else None

        try:
            return dict(wait_until(look, f"{self.name}: {what}", self.lab.patience, 0.2)["found"])
        except TimeoutError as error:
            raise TimeoutError(f"{error}; last seen: {self.last}") from None

    def settled(self) -> dict[str, Any]:
        return self.until("no rollout", lambda found: found and found["rollout"] is None)

    def share(self, percent: float) -> dict[str, Any]:
        """Wait until the new version is seen to have at least this share of the traffic."""
        return self.until(
            f"{percent:g} % on the new version",
            lambda found: found and found["rollout"] and found["rollout"]["share"]["now"] >= percent,
        )

    def create(self, version: str = GOOD) -> str:
        config = self.deploy(version)
        found = self.settled()
        assert found["status"] == "InService", found
        assert found["config"] == config
        return config


@contextlib.contextmanager
def endpoint(lab: Lab, name: str, instances: int = 2) -> Iterator[Deployed]:
    """An endpoint that is deleted at the end, however the scenario ended."""
    made = Deployed(lab, name, instances)
    try:
        yield made
    finally:
        with contextlib.suppress(ServerError):
            made.server.delete(name, "conformance", force=True)
