"""Serverless fleets: how many pods each has, by the requests that the gateways hold for it.

To the rest of the platform such a fleet is one thing that is ready or not. It is ready once one of its pods has shown
that the model can be served, with or without a pod just now: a first one is started to show it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tidegate.domain.errors import TidegateError
from tidegate.domain.fleet import FleetId, FleetSpec, Serverless
from tidegate.domain.observation import FleetStatus
from tidegate.targets.kubernetes.api import KubeApi
from tidegate.targets.kubernetes.api_errors import ForeignChange
from tidegate.targets.kubernetes.cluster_view import ClusterView, FleetView
from tidegate.targets.kubernetes.fleet_manifests import scale_manifest
from tidegate.targets.kubernetes.foreign_changes import scaled_by_others
from tidegate.targets.kubernetes.gateways import FleetDemands, GatewayHandle, Gateways, TotalDemand
from tidegate.targets.kubernetes.names import PROVEN, REPLICAS, SCALER, Manifest
from tidegate.targets.on_demand import ScalingMemory, decide

log = logging.getLogger(__name__)

LONG_WAIT = 20.0
"""Seconds for which a gateway holds its answer back while no request waits for a pod."""
QUICK = 0.25
"""Seconds between two looks while one does."""
IDLE = 1.0
MOST_HASTENED = 20
"""Fleets that wake up at a time and whose pods are looked for one by one; of more, they are listed once a second."""


@dataclass
class _OnDemandState:
    proven: bool
    memory: ScalingMemory
    last: TotalDemand = field(default_factory=TotalDemand)
    """What gateways held at the last look."""
    going: float | None = None
    """Since when the fleet is to go."""
    waking: float | None = None
    """Epoch seconds since when a request waits for its first pod."""


@dataclass
class OnDemandFleets:
    """``specs``: of all fleets. ``running``: how many pods of a fleet take requests. ``drain_timeout``: seconds for
    which a fleet that is to go still answers what waits for it."""

    api: KubeApi
    view: ClusterView
    gateways: Gateways
    specs: Mapping[FleetId, FleetSpec]
    running: Callable[[FleetId], int]
    drain_timeout: float
    _states: dict[FleetId, _OnDemandState] = field(default_factory=dict)
    _calls: dict[str, asyncio.Task[bool]] = field(default_factory=dict)
    """Gateway -> a question that it answers once a request waits."""
    _troubles: dict[FleetId, str] = field(default_factory=dict)
    """Logged once."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    # --- what the platform sees ---

    def status(self, spec: FleetSpec, view: FleetView) -> FleetStatus:
        """Return the status of a fleet that is not being deleted. Bounds that somebody else overrides do not count as
        taken: the platform asks for them again, and gets the reason."""
        bounds = spec.variant.serverless
        assert bounds is not None and view.deployment is not None
        state = self._states.get(spec.id)
        proven = state.proven if state is not None else is_proven(view.deployment)
        whole = proven and self.gateways.have(spec.id) and self.running(spec.id) >= bounds.least
        ready = spec.count if whole else 0
        told = bounds if scaled_by_others(view.deployment) is None else None
        missing = spec.count - ready
        return FleetStatus(
            *(spec.id, spec.count, ready, missing), failure=view.failure, serverless=told, problem=view.problem
        )

    def note_wanted(self, fleet: FleetId) -> None:
        """Note that a fleet is not to be deleted, whatever was asked before."""
        if (state := self._states.get(fleet)) is not None:
            state.going = None

    async def is_awaited(self, fleet: FleetId) -> bool:
        """Whether a fleet that is to go still has requests that its routes gave it earlier: no other fleet can answer
        them. False once it had the time to answer, or cannot start."""
        spec, view = self.specs.get(fleet), self.view.fleets.get(fleet)
        if spec is None or spec.variant.serverless is None or view is None or view.deployment is None:
            return False
        if view.failure is not None:
            return False
        state = self._state(fleet, view.deployment)
        now = asyncio.get_running_loop().time()
        state.going = now if state.going is None else state.going
        if now - state.going >= self.drain_timeout:
            return False
        demand = await self.gateways.demand()
        found = demand.of(fleet)
        return not demand.whole or found.now > 0 or found.waits_since is not None

    # --- one turn ---

    async def turn(self) -> None:
        """Look at the demand, and scale. What fails is tried again the next time."""
        mine = {fleet: spec for fleet, spec in self.specs.items() if spec.variant.serverless is not None}
        for fleet in self._states.keys() - mine.keys():
            del self._states[fleet]
            self._troubles.pop(fleet, None)
        if not mine or not self.view.current:
            return
        async with self._turn:
            demand = await self.gateways.demand()
            hastened = sum(state.waking is not None for state in self._states.values()) <= MOST_HASTENED
            await asyncio.gather(*(self._adjust(spec, demand, hastened) for spec in mine.values()))

    async def _adjust(self, spec: FleetSpec, demand: FleetDemands, hastened: bool) -> None:
        try:
            await self._scale(spec, demand, hastened)
            trouble = ""
        except TidegateError as error:
            trouble = str(error)
        if trouble and trouble != self._troubles.get(spec.id):
            log.warning("fleet %s: %s", spec.id, trouble)
        self._troubles[spec.id] = trouble

    async def _scale(self, spec: FleetSpec, demand: FleetDemands, hastened: bool) -> None:
        """``hastened``: whether to look for the first pod of a fleet at once."""
        view = self.view.fleets.get(spec.id)
        if (
            view is None
            or (deployment := view.deployment) is None
            or "deletionTimestamp" in deployment["metadata"]
        ):
            return
        state = self._state(spec.id, deployment)
        wanted = next_count(state, spec, view, demand, asyncio.get_running_loop().time())
        self._note_waiting(spec.id, state, demand.of(spec.id).waits_since)
        if (words := scaled_by_others(deployment)) is not None:
            raise ForeignChange(words)
        if (wanted, state.proven) != (set_by_us(deployment), is_proven(deployment)):
            self.view.note(await self.api.apply(scale_manifest(spec.id, wanted, state.proven), manager=SCALER))
        if state.waking is not None and hastened and await self.view.refresh_fleet(spec.id):
            await self.gateways.push(spec.id.endpoint)
            if self.running(spec.id):
                log.info("fleet %s: a cold start took %.1f s", spec.id, time.time() - state.waking)
                state.waking = None

    def _state(self, fleet: FleetId, deployment: Manifest) -> _OnDemandState:
        if fleet not in self._states:
            now, there = asyncio.get_running_loop().time(), int(deployment["spec"].get("replicas") or 0)
            self._states[fleet] = _OnDemandState(is_proven(deployment), ScalingMemory((now,) * there))
        return self._states[fleet]

    def _note_waiting(self, fleet: FleetId, state: _OnDemandState, since: float | None) -> None:
        if since is None or self.running(fleet):
            state.waking = None
        elif state.waking is None:
            state.waking = since

    # --- until a request waits ---

    async def run(self) -> None:
        """Take a turn as soon as a request waits for a pod, until cancelled."""
        try:
            while True:
                if await self._await_call():
                    await self.turn()
                    await asyncio.sleep(QUICK)
        finally:
            for task in self._calls.values():
                task.cancel()
            self._calls.clear()

    async def _await_call(self) -> bool:
        serverless = any(spec.variant.serverless is not None for spec in self.specs.values())
        there = {uid: one for uid, one in self.gateways.known.items() if one.state is not None and serverless}
        for uid in self._calls.keys() - there.keys():
            self._calls.pop(uid).cancel()
        for uid in there.keys() - self._calls.keys():
            self._calls[uid] = asyncio.create_task(_ask(there[uid]))
        if not self._calls:
            await asyncio.sleep(IDLE)
            return False
        done, _ = await asyncio.wait(self._calls.values(), timeout=IDLE, return_when=asyncio.FIRST_COMPLETED)
        self._calls = {uid: task for uid, task in self._calls.items() if task not in done}
        return any([task.result() for task in done])


async def _ask(gateway: GatewayHandle) -> bool:
    """Whether a request waits there for a pod; answered at once when one begins to wait."""
    with contextlib.suppress(TidegateError):
        return (await gateway.client.demand(LONG_WAIT)).waits
    await asyncio.sleep(IDLE)
    return False


def next_count(state: _OnDemandState, spec: FleetSpec, view: FleetView, demand: FleetDemands, now: float) -> int:
    """How many pods the fleet is to have from ``now`` on; ``state`` remembers what was seen."""
    bounds, deployment = spec.variant.serverless, view.deployment
    assert bounds is not None and deployment is not None
    if not state.proven and any(pod.ready for pod, _ in view.pods.values()):
        # The first one stays for the idle time, as if it had got a request.
        state.proven, state.memory = True, ScalingMemory((now,))
    in_hand = count_requests(state, demand.of(spec.id))
    if not demand.whole:
        in_hand = max(in_hand, enough_for(bounds, int(deployment["spec"].get("replicas") or 0)))
    state.memory = decide(state.memory, in_hand, bounds, now)
    wanted = max(state.memory.wanted, int(not state.proven))
    return wanted if spec.count or state.going is not None else 0


def count_requests(state: _OnDemandState, found: TotalDemand) -> int:
    """Requests to do, with those that came and went since the last look as one."""
    further, state.last = found.has_more(state.last), found
    return max(found.now, int(further), int(found.waits_since is not None))


def enough_for(bounds: Serverless, pods: int) -> int:
    """Requests that keep so many pods busy."""
    return (pods - 1) * bounds.per_instance + 1 if pods else 0


def is_proven(deployment: Manifest) -> bool:
    return (deployment["metadata"].get("annotations") or {}).get(PROVEN) == "true"


def set_by_us(deployment: Manifest) -> int | None:
    """The number of pods that tidegate has set; None: it has set none yet."""
    text = (deployment["metadata"].get("annotations") or {}).get(REPLICAS)
    return int(text) if text is not None and text.isdecimal() else None
