"""The environment that the platform gives to the target that it runs on."""

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.host.installation import Installation
from tidegate.ports.metrics import MetricHistory
from tidegate.ports.router import DataPlane
from tidegate.ports.shards import ShardBoard
from tidegate.ports.target import Options
from tidegate.serving.contract.images import ImageTable
from tidegate.serving.contract.replica_spec import TracingSpec
from tidegate.settings import Settings


@dataclass(frozen=True)
class TargetContext:
    settings: Settings
    state: Path
    """The state folder, where a target may keep what outlives the controller."""
    sockets: Path
    """Folder for unix sockets, with a short path."""
    former_sockets: tuple[Path, ...]
    """Where replicas that an earlier version started may still listen."""
    installation: Installation
    """Whose processes may be adopted and ended."""
    data_plane: DataPlane
    """The proxy of this machine."""
    history: MetricHistory
    images: ImageTable
    environment: dict[str, str]
    """Environment variables of a process that may talk to S3."""
    new_id: Callable[[str], str]
    changed: Callable[[str], None]
    """To be called with the name of an endpoint, or the owner of a job's fleet, when there is news of it."""
    followed: Callable[[], Container[tuple[str, str]] | None] = lambda: None
    """Endpoints and variants that autoscaling follows: their idle seconds are measurements; None: all are."""
    fence: int = 0
    """Of the controller's lease on the store."""
    shards: ShardBoard | None = None
    """The shards of transform jobs that runners of other machines share; None: they cannot reach the database."""
    tracing: Callable[[], TracingSpec | None] = lambda: None
    """How workers of this machine trace predictions; None: they do not."""
    options: Options = field(default_factory=dict)
    """The target's own settings."""
