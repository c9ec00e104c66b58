"""Which containers of a replica use its devices, and the engine around one that does."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.domain.errors import Invalid
from tidegate.host import nvidia
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import ModelEngine
from tidegate.serving.contract.replica_spec import ReplicaSpec, Serving
from tidegate.serving.contract.signature import ModelSignature, find_signature
from tidegate.serving.runtimes import choose, device_library
from tidegate.serving.scoring.batching import Batcher

if TYPE_CHECKING:
    from tidegate.serving.runtimes.devices.library import DeviceLibrary
    from tidegate.serving.runtimes.devices.placement import Placement


def find_device_users(
    spec: ReplicaSpec, library: "Callable[[RuntimeKind], DeviceLibrary]" = device_library
) -> "list[Placement | None]":
    """For each container how its model goes on the devices; None: it does not, or it finds them by itself. Imports
    the libraries.

    Raises Invalid if the replica was to have devices and nothing in it uses them: it would be silently as slow as
    without, and keep them from others. Beside a container that does, others run on processors, and the log says
    why."""
    if not spec.needs_device:
        return [None] * len(spec.containers)
    kinds = [
        kind if kind.descriptor.outside else choose(kind, Path(container.model_dir), container.environment)
        for container in spec.containers
        for kind in (container.runtime.kind,)
    ]
    placed: list[Placement | None] = []
    reasons: dict[str, None] = {}
    for kind in kinds:
        found = None if kind.descriptor.uses_devices else _library_or_reason(spec, kind, library)
        if isinstance(found, str):
            reasons[found] = None
        placed.append(_place(spec, found) if found is not None and not isinstance(found, str) else None)
    names = ", ".join(spec.devices)
    if not any(placed) and not any(kind.descriptor.uses_devices for kind in kinds):
        able = ", ".join(kind for kind in RuntimeKind if kind.descriptor.uses_devices)
        raise Invalid(
            f"the replica has {names}, and {' and '.join(reasons)}: leave out devices, or serve the model by one of"
            f" {able}"
        )
    for why in reasons:
        print(f"a container does not use {names}: {why}", flush=True)
    return placed


def _library_or_reason(
    spec: ReplicaSpec, kind: RuntimeKind, library: "Callable[[RuntimeKind], DeviceLibrary]"
) -> "DeviceLibrary | str":
    """How the runtime uses devices, or why it does not."""
    if not kind.descriptor.on_device or spec.serving is Serving.MULTI_MODEL:
        return f"the runtime {kind} runs on processors alone"
    found = library(kind)
    if missing := found.missing():
        return missing
    if len(spec.devices) > 1 and not found.several:
        return f"the runtime {kind} uses one device, not {len(spec.devices)}"
    return found


def _place(spec: ReplicaSpec, library: "DeviceLibrary") -> "Placement":
    from tidegate.serving.runtimes.devices.placement import Placement  # noqa: PLC0415  # needs numpy, as models do

    return Placement(spec.devices, library, nvidia.read_memory)


def watch_device(engine: ModelEngine, placement: "Placement") -> ModelEngine:
    """The engine, which is unhealthy once its device is lost. A batcher stays one: pipelines ask for that."""
    if isinstance(engine, Batcher):
        engine.usable = lambda: not placement.lost
        return engine
    return OnDevice(engine, placement)


class OnDevice:
    """Another engine that is unhealthy once its device is lost."""

    def __init__(self, engine: ModelEngine, placement: "Placement") -> None:
        self._engine = engine
        self._placement = placement
        self.submit = engine.submit

    @property
    def signature(self) -> ModelSignature | None:
        return find_signature(self._engine)

    @property
    def healthy(self) -> bool:
        return self._engine.healthy and not self._placement.lost

    async def close(self) -> None:
        await self._engine.close()
