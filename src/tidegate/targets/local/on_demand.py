"""State that the supervisor of a serverless fleet keeps beside its replicas: who waits, and how many are needed.

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
from tidegate.targets import on_demand as scaling

PROVEN = "proven"
"""Marker file in the fleet's folder."""
FORGOTTEN, LOOKS = 2.0, 5
"""Seconds without a call, and looks in them, after which nobody waits any more: the proxy calls many times a second.
A controller that was stopped for a while has to look more than once before it forgets."""


@dataclass(frozen=True)
class WakeUp:
    """Epoch seconds: since when a request has waited, and when the controller noticed."""

    asked: float
    noticed: float


@dataclass
class ServerlessState:
    proven: bool = False
    waking: WakeUp | None = None
    _memory: scaling.ScalingMemory = field(default_factory=scaling.ScalingMemory)
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
        self._memory = scaling.ScalingMemory((now,) * replicas)

    def wake(self, asked: float, noticed: float, now: float) -> None:
        self._called, self._unheard = now, 0
        self.waking = self.waking or WakeUp(asked, noticed)

    async def measure(
        self, spec: FleetSpec, bounds: Serverless, router: Router, running: bool, now: float
    ) -> None:
        """Ask the router while anything runs; ``now`` is the event loop's."""
        self._unheard += 1
        if self.waking is not None and now - self._called > FORGOTTEN and self._unheard > LOOKS:
            self.waking = None
        in_hand = int(self.waking is not None)
        if running:
            demand = await router.demand(spec.id)
            in_hand = max(in_hand, demand.now, int(demand.ever != self._ever))
            self._ever, self._there = demand.ever, demand.now
        self._memory = scaling.decide(self._memory, in_hand, bounds, now)

    def wanted(self, spec: FleetSpec) -> int:
        return max(self._memory.wanted, int(not self.proven)) if spec.count else 0

    def drain_replicas(self, now: float, patience: float) -> int:
        """Replicas that a fleet needs while it is being deleted: one, for at most ``patience`` seconds, while
        requests that its routes gave it earlier are still there. They may be waiting for it to wake up, and no other
        fleet can answer them."""
        self._going = now if self._going is None else self._going
        return int(self._there > 0 and now - self._going < patience)

    def clear_wake(self) -> None:
        """The router has a replica, so whoever waited has been served."""
        self.waking = None

    def mark_proven(self, folder: Path, now: float) -> None:
        """A replica answers its ping. The first one stays for the idle time, as if it had got a request."""
        if not self.proven:
            self.proven = True
            self._memory = scaling.ScalingMemory((now,))
            with contextlib.suppress(OSError):
                (folder / PROVEN).touch()

    def seen(
        self, spec: FleetSpec, bounds: Serverless, in_router: bool, routed: int, failure: str | None
    ) -> FleetStatus:
        whole = spec.count if self.proven and in_router and routed >= bounds.least else 0
        return FleetStatus(spec.id, spec.count, whole, spec.count - whole, failure=failure, serverless=bounds)


def limits(bounds: Serverless | None, servers: Iterable[str]) -> dict[str, int]:
    """How many requests each server may have at a time; empty if there is no limit."""
    names = list(servers)
    return {} if bounds is None else dict(zip(names, scaling.shares(bounds, len(names)), strict=True))
