"""Fleets and traffic of the Kubernetes target."""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from tidegate.domain.errors import TargetRefused, TidegateError, Transient
from tidegate.domain.fleet import FleetId, FleetSpec, Mirroring
from tidegate.domain.observation import Capabilities, FleetStatus, Observation
from tidegate.domain.traffic import RouteTable
from tidegate.ports.gateway_agent import EndpointPlan, FleetPlan
from tidegate.ports.router import PassedRequests, TcpAddress
from tidegate.ports.target import Look
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.collection.sources import ServingReplica
from tidegate.targets.fence import FencedState, FencedTarget
from tidegate.targets.kubernetes.api import KubeApi
from tidegate.targets.kubernetes.api_errors import ForeignChange
from tidegate.targets.kubernetes.api_versions import ApiVersions
from tidegate.targets.kubernetes.cluster_reports import FleetReport, report_of
from tidegate.targets.kubernetes.cluster_view import ClusterView, FleetView
from tidegate.targets.kubernetes.endpoint_plans import endpoint_plan, kept_plan, named_fleets, servers
from tidegate.targets.kubernetes.fleet_manifests import (
    first_size,
    fleet_manifests,
    fleet_secret_name,
    owner_reference,
)
from tidegate.targets.kubernetes.fleet_objects import FleetObjects
from tidegate.targets.kubernetes.foreign_changes import ForeignPods, asked_of, scaled_by_others
from tidegate.targets.kubernetes.gateways import Gateways
from tidegate.targets.kubernetes.model_store import ModelStore
from tidegate.targets.kubernetes.names import (
    SCALER,
    Manifest,
    fence_of,
    fleet_name,
    is_ours,
)
from tidegate.targets.kubernetes.on_demand import OnDemandFleets
from tidegate.targets.kubernetes.options import KubernetesOptions
from tidegate.targets.kubernetes.pod_template import takes_queue
from tidegate.targets.kubernetes.route_objects import QueueRoutes, RouteObjects
from tidegate.targets.kubernetes.start_data import (
    check_supported,
    read_asked,
    read_fleet,
    start_data,
    started_by,
    with_started_data,
)

# --- compute the status of a fleet that the platform gets ---


def plain_status(
    fleet: FleetId, view: FleetView, ready: int, going: bool, was_ready: bool, mirror: Mirroring | None
) -> FleetStatus:
    """``ready``: how many pods take requests; ``mirror``: as last asked for."""
    present = [pod for pod, _ in view.pods.values() if not pod.ended]
    leaving = sum(pod.leaving for pod in present)
    desired = 0 if going or view.deployment is None else int(view.deployment["spec"].get("replicas") or 0)
    return FleetStatus(
        id=fleet,
        desired=desired,
        ready=ready,
        starting=len(present) - leaving - ready,
        draining=leaving,
        failure=None if going else view.failure,
        problem=view.problem,
        was_ready=was_ready,
        mirror=None if going else mirror,
    )


def autoscaled_status(seen: FleetStatus, count: int) -> FleetStatus:
    """Return the status of a fleet whose size the cluster chooses. For the platform it has the ``count`` that was
    asked for, and is whole once that many pods take requests, or as many as the cluster wants if these are fewer.
    ``seen``: its pods."""
    whole = seen.ready >= max(1, min(seen.desired, count))
    ready = count if whole else min(seen.ready, count - 1)
    return replace(seen, desired=count, ready=ready, starting=count - ready)


def with_load(seen: FleetStatus, load: PassedRequests | None, answers: tuple[int, int] | None) -> FleetStatus:
    """``answers``: how many requests were answered, and how many failed."""
    if answers is not None:
        seen = replace(seen, answered=answers[0], failed=answers[1])
    if load is None:
        return seen
    return replace(seen, in_flight=load.in_flight, queued=load.queued, queue_time=load.queue_time)


log = logging.getLogger(__name__)


@dataclass
class KubernetesTarget(FencedTarget[Manifest | None, Manifest | None]):
    """Fleets as Deployments. ``versions`` is set at the start."""

    api: KubeApi
    view: ClusterView
    settings: Settings
    images: ImageTable
    options: KubernetesOptions
    can: Capabilities
    changed: Callable[[str], None]
    gateways: Gateways = field(init=False)
    queue: QueueRoutes = field(init=False)
    on_demand: OnDemandFleets = field(init=False)
    routes: RouteObjects | None = field(init=False)
    """Set where a Gateway of the cluster takes the place of tidegate's own."""
    model_store: ModelStore = field(init=False)
    versions: ApiVersions | None = None
    name: str = "kubernetes"
    specs: dict[FleetId, FleetSpec] = field(default_factory=dict)
    """As asked for, or as read from the cluster."""
    _owners: set[str] = field(default_factory=set)
    """Endpoints for which this controller was asked for something: they have records."""
    _leaving: set[FleetId] = field(default_factory=set)
    """Fleets that are being deleted."""
    _had: dict[FleetId, frozenset[str]] = field(default_factory=dict)
    """Replicas that gateways got, also from an earlier controller."""
    _adopted: dict[FleetId, FleetPlan] = field(default_factory=dict)
    """As gateways got them from an earlier controller."""
    _in_force: dict[str, RouteTable] = field(default_factory=dict)
    """Endpoint -> the table that was last observed in force."""
    objects: FleetObjects = field(init=False)
    _foreign: ForeignPods = field(default_factory=ForeignPods)
    _ready_before: set[FleetId] = field(default_factory=set)
    _passed: dict[FleetId, PassedRequests] = field(default_factory=dict)
    _answers: dict[FleetId, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self.objects = FleetObjects(self.api, self.view, self.options, self.is_kept, self.changed)

    # --- what rollouts ask for ---

    async def observe(self, endpoint: str) -> Look:
        """While the cluster cannot be seen, fleets are unknown; the routes are the gateways' to tell."""
        routes: RouteTable | None = None
        try:
            if self._is_queued(endpoint):
                routes = await self.queue.table(endpoint)
            elif self.routes is not None:
                left = self.gateways.table_in_force(endpoint, await self.gateways.views(endpoint))
                new = await self.routes.table(endpoint)
                routes = left if left is not None and left.fence < new.fence else new
            elif self.gateways.reachable:
                routes = self.gateways.table_in_force(endpoint, await self.gateways.views(endpoint))
        except TidegateError as error:
            log.debug("routes of %s are unknown now: %s", endpoint, error)
        if routes is not None:
            self._in_force[endpoint] = routes
        trouble = self.trouble()
        if not self.view.current:
            return Look(None, routes, trouble)
        mine = [fleet for fleet in self.view.fleets if fleet.endpoint == endpoint]
        known = self.specs.keys() | self.objects.missing.keys()
        if any(fleet not in known for fleet in mine if not self._is_going(fleet)):
            return Look(None, routes, trouble)  # of an earlier controller, and not read yet
        return Look({fleet: self._status(fleet) for fleet in mine}, routes, trouble)

    def report(self, fleet: FleetId) -> FleetReport:
        """Return the report of a fleet for kubectl's users."""
        return report_of(self._status(fleet), self._in_force.get(fleet.endpoint))

    def has_no_gateway(self) -> bool:
        """Whether there ought to be gateways and none is left that stays."""
        return (
            self.routes is None and self.view.current and all(one.leaving for one in self.view.gateways.values())
        )

    def trouble(self) -> str | None:
        """Why the cluster or a gateway cannot be observed or controlled now."""
        return (None if self.view.current else self.view.trouble) or self.gateways.trouble()

    async def find_fleet(self, fleet: FleetId) -> FencedState[Manifest | None]:
        live = await self.api.get("Deployment", fleet_name(fleet))
        own = live is not None and is_ours(live, self.options.installation)
        return FencedState(fence_of(live) if live is not None and own else 0, live)

    async def put_fleet(self, fleet: FleetSpec, fence: int, there: Manifest | None) -> None:
        """All objects are applied again each time, so that one that failed half-way is completed."""
        self._owners.add(fleet.id.endpoint)
        check_supported(fleet, self.settings, self.options)
        if there is not None:
            if not is_ours(there, self.options.installation):
                raise TargetRefused(
                    f"Deployment {fleet_name(fleet.id)} in namespace {self.api.namespace} is not this tidegate's: it "
                    "is left alone; delete it, or choose another installation or namespace"
                )
            if "deletionTimestamp" in there["metadata"]:
                raise Transient(f"fleet {fleet.id} is still going away")
            if (words := scaled_by_others(there)) is not None:
                raise ForeignChange(words)
        if there is None and self._pods(fleet.id):
            raise Transient(f"fleet {fleet.id} is still going away")
        self.objects.requested.add(fleet.id)
        try:
            await self._apply(fleet, fence, there)
        finally:
            self.objects.requested.discard(fleet.id)

    async def _apply(self, fleet: FleetSpec, fence: int, live: Manifest | None) -> None:
        """``live``: its Deployment."""
        before = await self._find_spec(fleet, live)
        # Metrics and routes need the specification alone: they wait for nothing that follows.
        self.specs.setdefault(fleet.id, fleet)
        fleet = await self.model_store.place(fleet, before)
        data = start_data(fleet, self.settings, self.images, self.options)
        versions, asked = self.versions or ApiVersions(), self._foreign.asked(fleet.id)
        if live is not None and not asked:  # of an earlier version, which did not note what it asked for
            asked = (asked_of(live["spec"]["template"]["spec"]),)
        owner: Manifest | None = None
        for manifest in fleet_manifests(fleet, fence, data, self.settings, self.options, versions, asked):
            if manifest["metadata"]["name"] == fleet_secret_name(fleet.id):
                self._foreign.note(fleet.id, read_asked(manifest))
            if owner is not None:
                manifest["metadata"]["ownerReferences"] = [owner]
            applied = await self.api.apply(manifest)
            if manifest["kind"] == "Deployment":
                owner = owner_reference(applied)
                if live is None and fleet.id.endpoint in self.options.autoscaling:
                    applied = await self.api.apply(first_size(fleet), manager=SCALER)
                self.view.note(applied)
        self._leaving.discard(fleet.id)
        self.on_demand.note_wanted(fleet.id)
        self.specs[fleet.id] = fleet
        self.objects.note_missing(fleet.id, ())

    async def remove_fleet(self, fleet: FleetId, fence: int, there: Manifest | None) -> None:
        """First the gateways forget its pods, then it is deleted: its pods finish what they have."""
        await self._delete(fleet, there, patient=True)

    async def _delete(self, fleet: FleetId, live: Manifest | None, patient: bool) -> None:
        """``patient``: until no request waits for it."""
        if live is not None:
            if not is_ours(live, self.options.installation):
                return
            if fleet in await self._list_routed(fleet.endpoint):
                raise Transient(f"fleet {fleet} still has routes; set the endpoint's routes first")
        if patient and fleet not in self._leaving and await self.on_demand.is_awaited(fleet):
            raise Transient(f"requests still wait for fleet {fleet}, which answers them before it goes")
        self._leaving.add(fleet)
        if self._is_queued(fleet.endpoint):
            await self.queue.push(fleet.endpoint)
        elif self.gateways.serving():
            await self.gateways.push(fleet.endpoint)
        await self._remove(fleet, live)

    async def _list_routed(self, endpoint: str) -> set[FleetId]:
        """Fleets that its routes name, those in gateways which were left included."""
        named = named_fleets(self.gateways.tables.get(endpoint, RouteTable(endpoint, 0)))
        if self.routes is not None and not self._is_queued(endpoint):
            named |= await self.routes.named(endpoint)
        return named

    async def _remove(self, fleet: FleetId, live: Manifest | None) -> None:
        name, versions = fleet_name(fleet), self.versions or ApiVersions()
        if live is not None and "deletionTimestamp" not in live["metadata"]:
            await self.api.delete("Deployment", name)
        await self.api.delete("PodDisruptionBudget", name, versions.disruption_budget)
        await self.api.delete("Service", name)
        # Pods that are ending may need their Secrets: a turn removes those once the pods are gone.
        if not self._pods(fleet):
            await self.objects.remove_secrets(fleet)
        scaled = self.options.autoscaling.get(fleet.endpoint)
        if scaled is not None:
            kind = "ScaledObject" if scaled.kind == "keda" else "HorizontalPodAutoscaler"
            await self.api.delete(kind, name, "" if scaled.kind == "keda" else versions.autoscaler)

    async def find_traffic(self, endpoint: str) -> FencedState[Manifest | None]:
        known = self.gateways.tables.get(endpoint)
        live = None
        if self.routes is not None and not self._is_queued(endpoint):
            live = await self.routes.find(endpoint)
        fences = (known.fence if known is not None else 0, fence_of(live) if live is not None else 0)
        return FencedState(max(fences), live)

    async def put_traffic(self, table: RouteTable, there: Manifest | None) -> None:
        """Put the routes of an endpoint into force. They are in force once this returns: every gateway that takes
        traffic has them, also one that was left from before a Gateway of the cluster took its place."""
        self._owners.add(table.endpoint)
        queued = self._is_queued(table.endpoint)
        if self.routes is not None and not queued:
            await self.routes.put(table, there)
        self.gateways.tables[table.endpoint] = table
        if queued:
            await self.queue.push(table.endpoint)
        elif self.routes is None or self.gateways.serving():
            await self.gateways.push(table.endpoint)
        if not table.routes:
            del self.gateways.tables[table.endpoint]

    async def retire_unknown(self, owners: Collection[str]) -> None:
        """``owners`` must be complete, but for those that this controller was asked for since."""
        known = {*owners, *self._owners}
        there = {endpoint: table.fence for endpoint, table in self.gateways.tables.items()}
        there |= {} if self.routes is None else await self.routes.fences()
        for endpoint in sorted(there.keys() - known):
            log.warning("endpoint %s has routes and no record; taking it off the gateways", endpoint)
            try:
                await self.set_traffic(RouteTable(endpoint, there[endpoint]))
            except TidegateError as error:
                log.warning("routes of %s cannot be taken off: %s", endpoint, error)
        for fleet in sorted(self.view.fleets):
            if fleet.endpoint not in known and not self._is_going(fleet):
                log.warning("fleet %s has no record; deleting it", fleet)
                try:
                    await self._delete(fleet, (await self.find_fleet(fleet)).there, patient=False)
                except TidegateError as error:
                    log.warning("fleet %s cannot be deleted: %s", fleet, error)

    # --- what gateways are to have ---

    def _is_queued(self, endpoint: str) -> bool:
        """Whether the endpoint is asynchronous: then its requests come from the queue, and no gateway matters."""
        mine = (spec for fleet, spec in self.specs.items() if fleet.endpoint == endpoint)
        if endpoint in self.queue.applied or any(spec.variant.asynchronous is not None for spec in mine):
            return True
        lost = (self.view.fleets.get(one) for one in self.objects.missing if one.endpoint == endpoint)
        return any(
            view is not None and view.deployment is not None and takes_queue(view.deployment) for view in lost
        )

    def plan(self, endpoint: str) -> EndpointPlan:
        """Fleets that are leaving stay as long as the table names them."""
        table = self.gateways.tables.get(endpoint, RouteTable(endpoint, 0))
        named = named_fleets(table)
        specs = {
            fleet: spec
            for fleet, spec in self.specs.items()
            if fleet.endpoint == endpoint and (fleet in named or self._stays(fleet))
        }
        lost = [one for one in self.objects.missing if one.endpoint == endpoint and one not in self.specs]
        addresses = {fleet: self._servers(fleet) for fleet in (*specs, *lost)}
        for fleet, found in addresses.items():
            self._had[fleet] = frozenset(found)
        kept = [kept_plan(fleet, self._adopted.get(fleet), addresses[fleet]) for fleet in lost]
        return endpoint_plan(self.gateways.controller, table, specs, addresses, kept)

    def _stays(self, fleet: FleetId) -> bool:
        return fleet in self.view.fleets and fleet not in self._leaving

    def adopt(self, plan: EndpointPlan) -> None:
        for one in plan.fleets:
            self._had[one.fleet] = self._had.get(one.fleet, frozenset()) | one.servers.keys()
            self._adopted[one.fleet] = one

    def endpoints(self) -> set[str]:
        return {fleet.endpoint for fleet in self.view.fleets}

    def _servers(self, fleet: FleetId) -> dict[str, str]:
        view = self.view.fleets.get(fleet)
        if view is None:
            return {}
        return servers(view, self._had.get(fleet, frozenset()), self._foreign.find(fleet, view))

    async def read_specs(self) -> None:
        """Read the fleets of an earlier controller from their Secrets."""
        for fleet, view in list(self.view.fleets.items()):
            if fleet in self.specs or view.deployment is None or self._is_going(fleet):
                continue
            try:
                spec = await self._read_spec(fleet, view.deployment)
            except TidegateError as error:
                # The engine requests it again, with what the endpoint's record says of it.
                self.objects.note_missing(fleet, [str(error)])
            else:
                self.specs[fleet] = spec
                self.objects.note_missing(fleet, ())
                self.changed(fleet.endpoint)

    async def _find_spec(self, fleet: FleetSpec, live: Manifest | None) -> FleetSpec | None:
        """Find the specification as it was requested before. If its Secret is gone, returns the one requested now,
        with the data that its pods were started with. None: neither is known. Raises Transient."""
        known = self.specs.get(fleet.id)
        if live is None or (known is not None and self.model_store.is_placed(known)):
            return known
        with contextlib.suppress(TargetRefused):
            return await self._read_spec(fleet.id, live)
        with contextlib.suppress(TargetRefused):
            if (secret := await self.api.get("Secret", started_by(live))) is not None:
                return with_started_data(fleet, secret)
        return None

    async def _read_spec(self, fleet: FleetId, deployment: Manifest) -> FleetSpec:
        secret = await self.api.get("Secret", fleet_secret_name(fleet))
        if secret is None:
            raise TargetRefused(f"Secret {fleet_secret_name(fleet)}")
        self._foreign.note(fleet, read_asked(secret))
        return read_fleet(secret, deployment)

    # --- what is seen ---

    def _pods(self, fleet: FleetId) -> Mapping[str, tuple[object, Manifest]]:
        view = self.view.fleets.get(fleet)
        return view.pods if view else {}

    def _is_going(self, fleet: FleetId) -> bool:
        view = self.view.fleets.get(fleet)
        return view is None or view.deployment is None or "deletionTimestamp" in view.deployment["metadata"]

    def is_kept(self, fleet: FleetId) -> bool:
        return fleet in self.specs and not self._is_going(fleet)

    def running(self, fleet: FleetId) -> set[str]:
        """Replicas that take requests: the cluster calls them ready, and every gateway has them."""
        view = self.view.fleets.get(fleet)
        if view is None:
            return set()
        ready = {name for name, (pod, _) in view.pods.items() if pod.ready and not pod.leaving}
        given = self.queue.given(fleet) if self._is_queued(fleet.endpoint) else self.gateways.given(fleet)
        return ready if given is None else ready & given

    def _status(self, fleet: FleetId) -> FleetStatus:
        view = self.view.fleets[fleet]
        going, ready = self._is_going(fleet), len(self.running(fleet))
        if ready:
            self._ready_before.add(fleet)
        spec = self.specs.get(fleet)
        if spec is not None and spec.variant.serverless is not None and not going:
            return self._add_load(self.on_demand.status(spec, view))
        mirror = spec.mirror if spec is not None else None
        seen = plain_status(fleet, view, ready, going, fleet in self._ready_before, mirror)
        if spec is not None and spec.count and not going and fleet.endpoint in self.options.autoscaling:
            seen = autoscaled_status(seen, spec.count)
        return self._add_load(seen)

    def _add_load(self, seen: FleetStatus) -> FleetStatus:
        seen = replace(seen, missing=self.objects.missing.get(seen.id, ()))
        return with_load(seen, self._passed.get(seen.id), self._answers.get(seen.id))

    def refresh(self, look: Observation) -> Observation:
        fleets = None if look.fleets is None else {id: self._add_load(seen) for id, seen in look.fleets.items()}
        return replace(look, fleets=fleets)

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        return self._status(fleet) if fleet in self.view.fleets else None

    def serving(self) -> Iterator[ServingReplica]:
        """Yield every replica that takes requests or finishes some."""
        for fleet, view in self.view.fleets.items():
            if (spec := self.specs.get(fleet)) is None:
                continue
            had = self._had.get(fleet, frozenset())
            for name, (pod, _) in view.pods.items():
                if pod.address and not pod.ended and (pod.ready or pod.leaving or name in had):
                    yield ServingReplica(spec, name, 0, TcpAddress(pod.address, pod.ports[1]))

    def desired(self) -> list[FleetSpec]:
        return [spec for fleet, spec in self.specs.items() if not self._is_going(fleet)]

    def provisioned(self) -> list[FleetSpec]:
        """Serverless fleets that keep pods for requests to come."""
        serverless = [(spec, spec.variant.serverless) for spec in self.desired() if spec.count]
        return [spec for spec, bounds in serverless if bounds is not None and bounds.least]

    def spec(self, fleet: FleetId) -> FleetSpec | None:
        return self.specs.get(fleet) if fleet in self.view.fleets else None

    def ready_count(self, fleet: FleetId) -> int:
        return len(self.running(fleet))

    def set_load(self, passed: Mapping[FleetId, PassedRequests]) -> None:
        self._passed = dict(passed)

    def set_answers(self, counts: Mapping[FleetId, tuple[int, int]]) -> None:
        self._answers = dict(counts)

    # --- one turn ---

    async def turn(self) -> None:
        """Look at the cluster, and bring the gateways up to date."""
        if await self.view.refresh():
            self.gateways.take(self.view.gateways.values())
            await self.read_specs()
        await self.gateways.sync()
        await self.on_demand.turn()
        await self.queue.sync([endpoint for endpoint in self.endpoints() if self._is_queued(endpoint)])
        for fleet in self.specs.keys() - self.view.fleets.keys() - self.objects.requested:
            if fleet not in named_fleets(self.gateways.tables.get(fleet.endpoint, RouteTable(fleet.endpoint, 0))):
                self.specs.pop(fleet)
                if fleet in self._leaving:
                    with contextlib.suppress(TidegateError):  # a later check finds what is left
                        await self.objects.remove_secrets(fleet)
                self._had.pop(fleet, None)
                self._adopted.pop(fleet, None)
                self._leaving.discard(fleet)
                self._ready_before.discard(fleet)
        self.objects.keep(self.view.fleets)
        self._in_force = {name: table for name, table in self._in_force.items() if name in self.endpoints()}
        alive = {name for view in self.view.fleets.values() for name in view.pods}
        self._foreign.keep(self.specs, alive)
