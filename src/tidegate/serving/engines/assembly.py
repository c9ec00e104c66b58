"""Builds the engine of a replica from its containers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidegate.domain.errors import StartTimeout, TidegateError
from tidegate.serving.artifacts.fetch import Policy, materialise
from tidegate.serving.contract.beside import is_beside
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Call, Done, ModelEngine, ModelFailed, Outcome, ProbedEngine
from tidegate.serving.contract.replica_spec import ContainerSpec, Died, ReplicaSpec, Serving
from tidegate.serving.contract.signature import ModelSignature, find_signature
from tidegate.serving.engines.bounded import Bounded
from tidegate.serving.engines.device_users import find_device_users, watch_device
from tidegate.serving.engines.pipeline import Direct, Pipeline, stages
from tidegate.serving.runtimes import load, submitted_code
from tidegate.serving.runtimes.program import Program
from tidegate.serving.scoring.batching import Batcher, Scorer, cap
from tidegate.serving.scoring.file_ranges import PartBatcher
from tidegate.serving.scoring.thread_engine import Handler, ThreadEngine

# --- an engine with a fallback: the fast engine answers what it can, the full one everything else ---


class FallbackEngine:
    """Falls back to ``fallback``, whose answer is authoritative, if ``preferred`` fails."""

    def __init__(self, preferred: ModelEngine, fallback: ModelEngine) -> None:
        self._preferred = preferred
        self._fallback = fallback

    @property
    def healthy(self) -> bool:
        return self._fallback.healthy

    @property
    def signature(self) -> ModelSignature | None:
        return find_signature(self._fallback)

    def submit(self, call: Call, done: Done) -> None:
        self._preferred.submit(call, partial(self._finish, call, done))

    async def close(self) -> None:
        await self._preferred.close()
        await self._fallback.close()

    def _finish(self, call: Call, done: Callable[[Outcome], None], outcome: Outcome) -> None:
        if isinstance(outcome, ModelFailed):
            self._fallback.submit(call, done)
        else:
            done(outcome)


if TYPE_CHECKING:
    from tidegate.serving.runtimes.devices.placement import Placement

MANY_MODELS = "worker_many_models"
"""Extension point: a coroutine function that returns the engine of a container of many models. It takes the replica's
specification, the container, and what opens the engine of one model's folder."""
Placed = Callable[["Placement"], None]
"""Called with each model that is on devices."""


def _tell_nobody(placement: "Placement") -> None:
    """Ignore the placement, for a process in which nothing collects reports."""


_SLACK = 0.2
"""Seconds by which a container's own timeout comes before the replica's, so that the error names the container."""


async def fetch(spec: ReplicaSpec, until: float, tell: Callable[[str], None]) -> None:
    """Download the model data of every container by ``until``, in the event loop's time. ``tell`` is told what a
    start waits for, again and again. Raises ArtifactError, StartTimeout or Transient."""
    policy = Policy(spec.file_roots, spec.s3_endpoint, spec.region)
    try:
        async with asyncio.timeout_at(until):
            for container in spec.containers:
                with _name_container(spec, container):
                    await asyncio.to_thread(submitted_code.fetch, container, policy)
                    # Models of many are fetched on request; those of a container beside the worker, before it starts.
                    if spec.serving is not Serving.MULTI_MODEL and not is_beside(container.runtime):
                        await asyncio.to_thread(materialise, container.data_url, Path(container.model_dir), policy)
                    point = container.runtime.kind.descriptor.fetch
                    if point and not is_beside(container.runtime):
                        from tidegate.host.features import features  # noqa: PLC0415  # most workers need no manifest

                        await features().require_hook(point, f"a {container.runtime.kind}")(spec, container, tell)
    except TimeoutError:
        raise StartTimeout(f"the model data did not arrive within {spec.download_timeout:g} s") from None


async def open_engine(spec: ReplicaSpec, died: Died, until: float, placed: Placed = _tell_nobody) -> ModelEngine:
    """Load every model by ``until``, in the event loop's time. Raises ArtifactError, Invalid, StartTimeout or
    Transient."""
    try:
        async with asyncio.timeout_at(until + _SLACK) as limit:
            engine = await _open(spec, died, until, placed)
            if not spec.most_at_once:
                return engine
            return Bounded(engine, spec.most_at_once, spec.queue_timeout, asyncio.get_running_loop())
    except TimeoutError:
        if not limit.expired():
            raise
        raise _did_not_load(spec) from None


async def _open(spec: ReplicaSpec, died: Died, until: float, placed: Placed) -> ModelEngine:
    spec = submitted_code.with_code_folders(spec)
    placements: Sequence[Placement | None] = [None] * len(spec.containers)
    if spec.needs_device:
        placements = await asyncio.to_thread(find_device_users, spec)
    if spec.serving is Serving.MULTI_MODEL:
        return await _open_models(spec, spec.containers[0], died)
    engines = await _open_all(spec, died, until, placements)
    for placement in filter(None, placements):
        placed(placement)
    if spec.serving is Serving.SINGLE:
        return engines[0]
    if spec.serving is Serving.SERIAL:
        return Pipeline(stages(spec.containers, engines), spec.max_body, spec.invocation_timeout)
    return Direct({each.name: engine for each, engine in zip(spec.containers, engines, strict=True)})


async def _open_models(spec: ReplicaSpec, container: ContainerSpec, died: Died) -> ModelEngine:
    def one(folder: str) -> Awaitable[ModelEngine]:
        return open_container(spec, replace(container, model_dir=folder, data_url=None), died)

    from tidegate.host.features import features  # noqa: PLC0415  # most workers need no manifest

    engine: ModelEngine = await features().require_hook(MANY_MODELS, "many models")(spec, container, one)
    return engine


async def _open_all(
    spec: ReplicaSpec, died: Died, until: float, placements: "Sequence[Placement | None]"
) -> list[ModelEngine]:
    """Open an engine for every container; if one fails, close the others. Programs start concurrently; libraries are
    imported one after the other."""
    importing = asyncio.Lock()

    async def one(container: ContainerSpec, placement: "Placement | None") -> ModelEngine:
        with _name_container(spec, container):
            if container.runtime.kind.descriptor.outside:
                return await open_container(spec, container, died, until)
            async with importing:
                return await open_container(spec, container, died, until, placement)

    opened = await asyncio.gather(*map(one, spec.containers, placements), return_exceptions=True)
    engines = [each for each in opened if not isinstance(each, BaseException)]
    for failed in opened:
        if isinstance(failed, BaseException):
            await asyncio.gather(*(engine.close() for engine in engines))
            raise failed
    return engines


@contextmanager
def _name_container(spec: ReplicaSpec, container: ContainerSpec) -> Iterator[None]:
    """Name the container in errors of the body, if there are several."""
    try:
        yield
    except TidegateError as error:
        if len(spec.containers) > 1:
            raise type(error)(f"container {container.name}: {error.message}") from None
        raise


def _did_not_load(spec: ReplicaSpec) -> StartTimeout:
    return StartTimeout(f"the model did not load within {spec.startup_timeout:g} s")


async def prepare_later_starts(spec: ReplicaSpec, engine: ModelEngine) -> None:
    """Write the files that make the starts of later replicas of a serverless fleet quicker, while this one serves."""
    await _prepare_forests(spec)
    if isinstance(engine, ProbedEngine):
        await engine.finish_checks()


async def _prepare_forests(spec: ReplicaSpec) -> None:
    for container in spec.containers:
        if spec.serving is not Serving.MULTI_MODEL and container.runtime.kind.descriptor.maps_forest:
            from tidegate.serving.engines import mapped_forest  # noqa: PLC0415  # needs numpy, as models do

            kind, folder = container.runtime.kind, Path(container.model_dir)
            await asyncio.to_thread(mapped_forest.write_forest, kind, folder, container.environment)


async def open_container(
    spec: ReplicaSpec,
    container: ContainerSpec,
    died: Died,
    until: float | None = None,
    placement: "Placement | None" = None,
) -> ModelEngine:
    """Open the engine of one container. ``until``: deadline in the event loop's time; None: the start-up limit from
    now. ``placement``: puts the model on devices."""
    loop = asyncio.get_running_loop()
    until = loop.time() + spec.startup_timeout if until is None else until
    if container.runtime.kind is RuntimeKind.PROGRAM:
        program = Program(spec, container, died)
        await program.start(until)
        return program
    if container.runtime.kind.descriptor.engine:
        from tidegate.host.features import features  # noqa: PLC0415  # most workers need no manifest

        # A container that somebody else starts is, for its front, a service on loopback.
        kind = RuntimeKind.SERVICE if is_beside(container.runtime) else container.runtime.kind
        opened: ModelEngine = await features().require_hook(kind.descriptor.engine, f"a {kind}")(
            spec, container, died, until
        )
        return opened
    if container.transforms and container.expects_tables:
        from tidegate.serving.formats import arrow_io  # noqa: PLC0415  # needs numpy, as models do

        await asyncio.to_thread(arrow_io.prepare)
    folder = Path(container.model_dir)
    if spec.on_demand is not None:
        from tidegate.serving.engines import mapped_forest  # noqa: PLC0415  # needs numpy, as models do

        forest = mapped_forest.open_forest(container.runtime.kind, folder, container.environment)
        if forest is not None:
            return Batcher(forest, loop, cap(container.environment))
    try:
        async with asyncio.timeout_at(until) as limit:
            loaded = await asyncio.to_thread(
                load, container.runtime.kind, folder, container.environment, placement
            )
    except TimeoutError:
        if not limit.expired():
            raise
        raise _did_not_load(spec) from None
    if placement is not None:
        placement.settle(getattr(loaded, "batches", False))
    engine = _make_engine(spec, container, loaded, placement.rows if placement is not None else None)
    return engine if placement is None else watch_device(engine, placement)


def _make_engine(
    spec: ReplicaSpec, container: ContainerSpec, loaded: Handler | Scorer[Any, Any], rows: int | None
) -> ModelEngine:
    """Make the engine of a loaded model. ``rows``: most rows of a call, as measured; None: as the environment
    says."""
    loop = asyncio.get_running_loop()
    most = cap(container.environment) if rows is None else rows
    if isinstance(loaded, Handler):
        engine = ThreadEngine(loaded, loop, spec.invocation_timeout, container.name)
        native = getattr(loaded, "native", None)
        return engine if native is None else FallbackEngine(Batcher(native, loop, most), engine)
    if container.transforms:
        return PartBatcher(loaded, loop)
    return Batcher(loaded, loop, most)
