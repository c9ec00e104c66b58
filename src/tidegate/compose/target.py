"""The targets that the platform runs on: what they are given, and how their capacity is limited."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tidegate.compose.environments import child_environment
from tidegate.domain.errors import Invalid, StartupError
from tidegate.domain.registry import ContainerDefinition
from tidegate.domain.targets import TargetTable
from tidegate.host.state_folder import StateFolder
from tidegate.ports.target import Provider, Target
from tidegate.proxy.haproxy import HAProxy
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.store import SqlStore
from tidegate.store.metrics import SqlMetrics
from tidegate.store.shards import SqlShards
from tidegate.targets.capacity_limit import LimitedTarget
from tidegate.targets.containers import check_container
from tidegate.targets.context import TargetContext
from tidegate.targets.options import TargetOptions, read_targets
from tidegate.targets.registry import KINDS
from tidegate.targets.several import join_providers


def target_context(
    settings: Settings,
    folder: StateFolder,
    proxy: HAProxy,
    metrics: SqlMetrics,
    table: ImageTable,
    new_id: Callable[[str], str],
    changed: Callable[[str], None],
) -> TargetContext:
    return TargetContext(
        settings=settings,
        state=folder.path,
        sockets=folder.sockets,
        former_sockets=folder.former_sockets,
        installation=folder.installation,
        data_plane=proxy,
        history=metrics,
        images=table,
        environment=child_environment(folder.path),
        new_id=new_id,
        changed=changed,
    )


def control_socket(folder: StateFolder) -> Path:
    """The controller's own, behind the proxy."""
    return folder.sockets / "controller.sock"


@dataclass(frozen=True)
class Targets:
    """Every target that the platform has. ``all`` joins what they supply."""

    providers: Mapping[str, Provider]
    all: Provider
    driven: Mapping[str, Target]
    """What rollouts drive, by name."""
    table: TargetTable

    def check_container(self, container: ContainerDefinition, images: ImageTable, settings: Settings) -> None:
        """Check that some target can run a container: which one will is not known when a model is created. Raises
        Invalid with the default target's reason."""
        refused: dict[str, Invalid] = {}
        for name, provider in self.providers.items():
            check = provider.check_container or partial(check_container, table=images, settings=settings)
            try:
                return check(container)
            except Invalid as error:
                refused[name] = error
        raise refused[self.table.default]


def join_targets(context: TargetContext, options: TargetOptions, store: SqlStore) -> Targets:
    """Make the targets of a controller. Nothing runs yet."""
    settings = context.settings
    if store.database.dialect == "postgresql":  # other machines reach it, too
        context = replace(context, shards=SqlShards(store.database))
    providers = {
        name: KINDS[name].provide(replace(context, options=given)) for name, given in options.options.items()
    }
    driven = {name: limit_capacity(provider, settings) for name, provider in providers.items()}
    table = TargetTable({name: target.can for name, target in driven.items()}, options.default)
    return Targets(providers, join_providers(providers, options.default), driven, table)


async def reaches_targets(settings: Settings) -> bool:
    """Return whether every target can be observed from this machine. A controller checks this before it takes an
    offered lease."""
    try:
        names = read_targets(settings.targets, KINDS).options
        asked = [(KINDS[name].reaches, given) for name, given in names.items()]
    except StartupError:
        return False
    return all([await reaches(given) for reaches, given in asked if reaches is not None])


def limit_capacity(provider: Provider, settings: Settings) -> Target:
    if not settings.capacity:
        return provider.target
    return LimitedTarget(provider.target, provider.lifecycle.desired, settings.capacity)
