"""What the supervisor of a serverless fleet remembers beside its replicas: who waits, and how many are needed.

To the rest of the platform such a fleet is one thing that is ready or not. It is ready once one of its replicas has
shown that the model can be served, with or without a replica just now: a first one is started to show it.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.domain.fleet import FleetSpec, Serverless
from tidegate.domain.observation import FleetStatus
from tidegate.ports.router import Router
from tidegate.targets.local import serverless_scaling

PROVEN = "proven"
"""Marker file in the fleet's folder."""
FORGOTTEN, LOOKS = 2.0, 5
"""Seconds without a call, and looks in them, after which nobody waits any more: the proxy calls many times a second.
A controller that was stopped for a while has to look more than once before it forgets."""


@dataclass(frozen=True)
class Waking:
    """Epoch seconds: since when a request waits, and when the controller heard of it."""

    asked: float
    noticed: float


@dataclass
class OnDemand:
    proven: bool = False
    waking: Waking | None = None
    _standing: serverless_scaling.Standing = field(default_factory=serverless_scaling.Standing)
    _called: float = 0.0
    _unheard: int = 0
    """Looks since the last call."""
    _ever: int = 0
    """Requests that the router had counted when it was asked last."""
    _there: int = 0
    """Requests that were in the router then, those that wait among them."""
    _going: float | None = None
    """Since when the fleet is to go."""

    def adopt(self, folder: Path, replicas: int, now: float) -> None:
        self.proven = (folder / PROVEN).exists()
        self._standing = serverless_scaling.Standing((now,) * replicas)

    def wake(self, asked: float, noticed: float, now: float) -> None:
        self._called, self._unheard = now, 0
        self.waking = self.waking or Waking(asked, noticed)

    async def measure(
        self, spec: FleetSpec, bounds: Serverless, router: Router, running: bool, now: float
    ) -> None:
        """Asks the router while anything runs; ``now`` is the event loop's."""
        self._unheard += 1
        if self.waking is not None and now - self._called > FORGOTTEN and self._unheard > LOOKS:
            self.waking = None
        in_hand = int(self.waking is not None)
        if running:
            demand = await router.demand(spec.id)
            in_hand = max(in_hand, demand.now, int(demand.ever != self._ever))
            self._ever, self._there = demand.ever, demand.now
        self._standing = serverless_scaling.decide(self._standing, in_hand, bounds, now)

    def wanted(self, spec: FleetSpec) -> int:
        return max(self._standing.wanted, int(not self.proven)) if spec.count else 0

    def owed(self, now: float, patience: float) -> int:
        """Replicas of a fleet that is to go: one, for ``patience`` seconds, while requests are there that its routes
        gave to it before. They may be waiting for it to wake up, and nobody else can answer them."""
        self._going = now if self._going is None else self._going
        return int(self._there > 0 and now - self._going < patience)

    def served(self) -> None:
        """The router has a replica: whoever waited has been let in."""
        self.waking = None

    def prove(self, folder: Path, now: float) -> None:
        """A replica answers its ping; the first that does stays for the idle time, as if it had been asked."""
        if not self.proven:
            self.proven = True
            self._standing = serverless_scaling.Standing((now,))
            with contextlib.suppress(OSError):
                (folder / PROVEN).touch()

    def seen(
        self, spec: FleetSpec, bounds: Serverless, in_router: bool, routed: int, failure: str | None
    ) -> FleetStatus:
        whole = spec.count if self.proven and in_router and routed >= bounds.least else 0
        return FleetStatus(spec.id, spec.count, whole, spec.count - whole, failure=failure, serverless=bounds)


def limits(bounds: Serverless | None, servers: Iterable[str]) -> dict[str, int]:
    """Requests that each server may have at one time; empty where there is no bound."""
    names = list(servers)
    return {} if bounds is None else dict(zip(names, serverless_scaling.shares(bounds, len(names)), strict=True))
