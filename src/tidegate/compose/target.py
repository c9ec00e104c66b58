"""The target that the platform runs on: what it is given, and how its capacity is limited."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tidegate.compose.environments import child_environment
from tidegate.compose.recommendation_jobs import recommendation_file
from tidegate.compose.transform_jobs import transform_file
from tidegate.host.state_folder import StateFolder
from tidegate.ports.target import Provider, Target
from tidegate.proxy.haproxy import HAProxy
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.store.metrics import SqlMetrics
from tidegate.targets.capacity_limit import LimitedTarget
from tidegate.targets.context import TargetContext


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
        transform_file=partial(transform_file, settings, table),
        recommendation_file=partial(recommendation_file, settings),
    )


def control_socket(folder: StateFolder) -> Path:
    """The controller's own, behind the proxy."""
    return folder.sockets / "controller.sock"


def limit_capacity(provider: Provider, settings: Settings) -> Target:
    if not settings.capacity:
        return provider.target
    return LimitedTarget(provider.target, provider.lifecycle.desired, settings.capacity)
