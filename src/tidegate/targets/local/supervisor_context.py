"""Objects that all supervisors of a machine share, and the record on disk from which a later controller continues."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from tidegate.domain.fleet import FleetId, FleetSpec, Pairing
from tidegate.host.atomic_write import write_private
from tidegate.ports.router import Router
from tidegate.serving.contract.pair_order import PairOrder
from tidegate.serving.contract.runtime import TABLES
from tidegate.targets.local.device_pool import DevicePool
from tidegate.targets.local.fork_server import ForkServers
from tidegate.targets.local.on_demand import WakeUp
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.start_queue import StartQueue


@dataclass(frozen=True)
class DesiredFleet:
    """The record of a fleet on disk, which a restarted controller reads."""

    spec: FleetSpec
    fence: int
    deleted: bool = False


@dataclass(frozen=True)
class SupervisorContext:
    """Objects and settings that every supervisor of a machine shares."""

    folders: Folders
    router: Router
    environment: dict[str, str]
    describe: Callable[[FleetSpec, str, WakeUp | None, tuple[str, ...]], bytes]
    """The worker's own start file for one replica of a fleet: for whom it is woken, and which devices it has."""
    fits: Callable[[bytes], bool]
    """Whether a replica with this start file may serve under the settings of now."""
    new_id: Callable[[str], str]
    changed: Callable[[str], None]
    """Called with the endpoint's name when what ``seen`` says has changed."""
    harvest: Callable[[FleetSpec, str, bytes], None]
    """Takes the last counts that a replica left when it went."""
    drain_timeout: float
    patience: float
    """Seconds that a live replica may take to answer a ping: somewhat more than a prediction may last."""
    fork_servers: ForkServers | None = None
    """Where workers of serverless fleets and of jobs are forked; None: each is started by itself."""
    fork_group: Callable[[FleetSpec], str] = lambda fleet: TABLES
    """The group of the fork server that has a fleet's libraries."""
    starts: StartQueue = field(default_factory=StartQueue)
    devices: DevicePool = field(default_factory=DevicePool)
    measured: set[FleetId] = field(default_factory=set)
    """Serverless fleets with replicas, which look often how much they are asked."""


def runs_the_same(one: FleetSpec, other: FleetSpec) -> bool:
    """Whether two fleets of one id are the same: they run the same model data, in the same way. Counts, weights,
    bounds and copies change in the life of a fleet; what it runs does not."""
    return _identity(one) == _identity(other)


def _identity(spec: FleetSpec) -> tuple[object, ...]:
    variant = spec.variant
    ways = (variant.shadow, variant.asynchronous is None, variant.serverless is None, spec.detached is None)
    return spec.config_name, variant.model, ways


def _order(paired: Pairing) -> PairOrder:
    return PairOrder(str(paired.fleet), paired.slices, paired.features, paired.texts)


def save_desired(folders: Folders, desired: DesiredFleet) -> None:
    """Write the record of a fleet. Settings of copies and pairs have files of their own, which the fleet's workers
    read."""
    if desired.spec.mirror is not None:
        write_private(folders.share(desired.spec.id), str(desired.spec.mirror.share).encode())
    if desired.spec.paired is not None:
        write_private(folders.order(desired.spec.id), msgspec.json.encode(_order(desired.spec.paired)))
    else:
        folders.order(desired.spec.id).unlink(missing_ok=True)
    write_private(folders.desired_file(desired.spec.id), msgspec.json.encode(desired))
