"""All that the local target supplies: fleets, evidence, logs and jobs as processes of this machine."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tidegate.domain.devices import VARIABLE, select_visible
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import SAGEMAKER_CAPABILITIES, TIDEGATE_CAPABILITIES, Capabilities
from tidegate.domain.transform import FLEET_PREFIX
from tidegate.host import nvidia
from tidegate.ports.target import Chore, Provider
from tidegate.settings import Settings
from tidegate.targets.collection.collector import Collector
from tidegate.targets.collection.coverage import CoverageTracker
from tidegate.targets.collection.worker_evidence import WorkerEvidence
from tidegate.targets.context import TargetContext
from tidegate.targets.local import logs
from tidegate.targets.local.artifact_store import ArtifactStore
from tidegate.targets.local.device_pool import DevicePool
from tidegate.targets.local.fork_server import ForkServers
from tidegate.targets.local.logs import LogStreams
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.recommenders import LocalRecommenders
from tidegate.targets.local.resource_usage import DeviceMonitor, ProcessUsage
from tidegate.targets.local.runners import LocalRunners
from tidegate.targets.local.start_file import fork_group, replica_file, still_fits, write_keys
from tidegate.targets.local.start_queue import StartQueue, default_limit
from tidegate.targets.local.supervisor_context import SupervisorContext
from tidegate.targets.local.target import LocalTarget

log = logging.getLogger(__name__)

PRUNE_EVERY = 600.0
CUT_EVERY = 15.0
"""Seconds between looks whether a log has grown too large."""
PATIENCE = 15.0
"""Seconds beyond the longest prediction that a replica may take to answer a ping."""


def provide_local(context: TargetContext) -> Provider:
    """Assemble the target ``local``, without starting anything."""
    settings = context.settings
    folders = Folders(context.state, context.sockets, context.installation, context.former_sockets)
    store = ArtifactStore(folders.artifacts, folders.model)
    fork_servers = ForkServers(context.installation, context.environment)
    supervision = SupervisorContext(
        folders=folders,
        router=context.data_plane,
        environment=context.environment,
        describe=partial(replica_file, context, folders),
        fits=lambda start: still_fits(start, settings, folders),
        new_id=context.new_id,
        changed=context.changed,
        # Supervisors pass the last counts of a replica on to the collector, which in turn asks the target.
        harvest=lambda fleet, replica, page: collector.harvest(fleet, replica, page),
        drain_timeout=settings.drain_timeout,
        patience=settings.invocation_timeout + PATIENCE,
        fork_servers=fork_servers,
        fork_group=partial(fork_group, context.images),
        starts=StartQueue(settings.start_limit or default_limit()),
        devices=device_pool(settings, context.environment),
    )
    target = LocalTarget(supervision, capabilities(settings))
    coverage = CoverageTracker(context.state / "coverage.json")
    asked = target, context.history, context.data_plane.passed, target.get, ProcessUsage().measure, coverage
    devices = DeviceMonitor(nvidia.read_devices)
    collector = Collector(*asked, activity=target.activity, devices=devices.latest, followed=context.followed)
    return Provider(
        target=target,
        fleets=target,
        lifecycle=_LocalLifecycle(settings, folders, target, fork_servers, store),
        evidence=WorkerEvidence(target, collector),
        logs=LogStreams(folders.logs),
        runners=LocalRunners(
            folders,
            context.environment,
            lambda job: context.changed(FLEET_PREFIX + job),
        ),
        recommenders=LocalRecommenders(
            context.state / "recommendations",
            context.installation,
            context.environment,
        ),
        artifacts=store,
    )


def capabilities(settings: Settings) -> Capabilities:
    chosen = SAGEMAKER_CAPABILITIES if settings.fidelity == "aws" else TIDEGATE_CAPABILITIES
    return replace(chosen, quotas=settings.quotas)


def device_pool(settings: Settings, environment: Mapping[str, str]) -> DevicePool:
    """Return a pool of the devices in the settings, else of those that are found and that the server itself may
    use."""
    there = settings.devices
    if there is None:
        there = select_visible(nvidia.find_devices(), environment.get(VARIABLE))
    if there:
        log.info("devices for replicas: %s", ", ".join(map(str, there)))
    return DevicePool.of(there, follows_types=settings.fidelity == "aws")


@dataclass(frozen=True)
class _LocalLifecycle:
    settings: Settings
    folders: Folders
    target: LocalTarget
    fork_servers: ForkServers
    artifacts: ArtifactStore

    @property
    def chores(self) -> Sequence[Chore]:
        return Chore(PRUNE_EVERY, self._prune_logs), Chore(CUT_EVERY, self._cut_logs)

    def prepare(self) -> None:
        self.folders.prepare()
        self.artifacts.remove_partial()
        write_keys(self.folders, self.settings)

    def start(self) -> None:
        self.target.start()

    async def retire_unknown(self, owners: Collection[str]) -> None:
        await self.target.retire_unknown(owners)

    def serves(self) -> bool:
        return any(self.target.serving())

    def desired(self) -> list[FleetSpec]:
        return self.target.desired()

    def wake(self, fleet: FleetId, since: float) -> None:
        self.target.wake(fleet, since)

    def kick(self, fleet: FleetId) -> None:
        self.target.kick(fleet)

    async def stop(self, drain: bool) -> None:
        self.fork_servers.close()
        await (self.target.drain_all() if drain else self.target.detach())

    async def _prune_logs(self) -> None:
        await asyncio.to_thread(logs.prune, self.folders.logs)
        await asyncio.to_thread(logs.prune, self.folders.pairs, "*.jsonl")

    async def _cut_logs(self) -> None:
        await asyncio.to_thread(logs.cut_all, self.folders.logs)
