"""From the containers of a replica to the one engine that answers its requests."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from tidegate.domain.errors import StartTimeout, TidegateError
from tidegate.serving.artifacts.fetch import Policy, materialise
from tidegate.serving.contract.images import RuntimeKind
from tidegate.serving.contract.invocation import Engine
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, Serving
from tidegate.serving.engines.direct import Direct
from tidegate.serving.engines.fallback_engine import Preferring
from tidegate.serving.engines.pipeline import Pipeline, stages
from tidegate.serving.runtimes import load, submitted_code
from tidegate.serving.runtimes.program import Program
from tidegate.serving.scoring.batching import Batcher, cap
from tidegate.serving.scoring.file_ranges import PartBatcher
from tidegate.serving.scoring.thread_engine import Handler, Handling

Died = Callable[[ContainerSpec, int], None]
"""Called with a container and its exit code when its program ends by itself."""


QUICK = "tidegate.serving.engines.mapped_forest"
PLANTED = (RuntimeKind.XGBOOST, RuntimeKind.SAGEMAKER_XGBOOST, RuntimeKind.AUTO)
"""Runtimes whose models may have a file that starts are quicker from."""


_SLACK = 0.2
"""Seconds that a container has to say that it is late, before the replica does."""


async def fetch(spec: ReplicaSpec, until: float) -> None:
    """Brings the model data of every container here by ``until``, in the event loop's time. Raises ArtifactError,
    StartTimeout or Transient."""
    policy = Policy(spec.file_roots, spec.s3_endpoint, spec.region)
    try:
        async with asyncio.timeout_at(until):
            for container in spec.containers:
                with _named(spec, container):
                    await asyncio.to_thread(submitted_code.fetch, container, policy)
                    if spec.serving is not Serving.MULTI_MODEL:  # each model when it is asked for
                        await asyncio.to_thread(materialise, container.data_url, Path(container.model_dir), policy)
    except TimeoutError:
        raise StartTimeout(f"the model data did not arrive within {spec.download_timeout:g} s") from None


async def open_engine(spec: ReplicaSpec, died: Died, until: float) -> Engine:
    """Loads every model by ``until``, in the event loop's time. Raises ArtifactError, Invalid, StartTimeout or
    Transient."""
    try:
        async with asyncio.timeout_at(until + _SLACK) as limit:
            return await _open(spec, died, until)
    except TimeoutError:
        if not limit.expired():
            raise
        raise _did_not_load(spec) from None


async def _open(spec: ReplicaSpec, died: Died, until: float) -> Engine:
    spec = submitted_code.settled(spec)
    if spec.serving is Serving.SINGLE:
        return await open_container(spec, spec.containers[0], died, until)
    if spec.serving is Serving.SERIAL:
        return Pipeline(
            stages(spec.containers, await _open_all(spec, died, until)), spec.max_body, spec.invocation_timeout
        )
    if spec.serving is Serving.DIRECT:
        engines = await _open_all(spec, died, until)
        return Direct({each.name: engine for each, engine in zip(spec.containers, engines, strict=True)})
    return await _open_models(spec, spec.containers[0], died)


async def _open_models(spec: ReplicaSpec, container: ContainerSpec, died: Died) -> Engine:
    def one(folder: str) -> Awaitable[Engine]:
        return open_container(spec, replace(container, model_dir=folder, data_url=None), died)

    models: Engine = await import_module("tidegate.serving.multimodel.engine").open_models(spec, container, one)
    return models


async def _open_all(spec: ReplicaSpec, died: Died, until: float) -> list[Engine]:
    """Every container's engine; when one cannot be opened, those that are there are closed. Programs start side by
    side; libraries are imported one after the other."""
    importing = asyncio.Lock()

    async def one(container: ContainerSpec) -> Engine:
        with _named(spec, container):
            if container.runtime.kind is RuntimeKind.PROGRAM:
                return await open_container(spec, container, died, until)
            async with importing:
                return await open_container(spec, container, died, until)

    opened = await asyncio.gather(*(one(container) for container in spec.containers), return_exceptions=True)
    engines = [each for each in opened if not isinstance(each, BaseException)]
    for failed in opened:
        if isinstance(failed, BaseException):
            await asyncio.gather(*(engine.close() for engine in engines))
            raise failed
    return engines


@contextmanager
def _named(spec: ReplicaSpec, container: ContainerSpec) -> Iterator[None]:
    """Errors within say which container they are of, where there are several."""
    try:
        yield
    except TidegateError as error:
        if len(spec.containers) > 1:
            raise type(error)(f"container {container.name}: {error.message}") from None
        raise


def _did_not_load(spec: ReplicaSpec) -> StartTimeout:
    return StartTimeout(f"the model did not load within {spec.startup_timeout:g} s")


async def leave_quick(spec: ReplicaSpec) -> None:
    """Prepares, beside what is served, the file that later replicas of a serverless fleet start from."""
    for container in spec.containers:
        if spec.serving is not Serving.MULTI_MODEL and container.runtime.kind in PLANTED:
            planting = import_module(QUICK).plant
            kind, folder = container.runtime.kind, Path(container.model_dir)
            await asyncio.to_thread(planting, kind, folder, container.environment)


async def open_container(
    spec: ReplicaSpec, container: ContainerSpec, died: Died, until: float | None = None
) -> Engine:
    """``until``: the event loop's time by which it has to be ready; None: it has the whole start-up limit."""
    loop = asyncio.get_running_loop()
    until = loop.time() + spec.startup_timeout if until is None else until
    if container.runtime.kind is RuntimeKind.PROGRAM:
        program = Program(spec, container, died)
        await program.start(until)
        return program
    folder = Path(container.model_dir)
    if spec.on_demand is not None:
        quick = import_module(QUICK).opened(container.runtime.kind, folder, container.environment)
        if quick is not None:
            return Batcher(quick, loop, cap(container.environment))
    try:
        async with asyncio.timeout_at(until) as limit:
            loaded = await asyncio.to_thread(load, container.runtime.kind, folder, container.environment)
    except TimeoutError:
        if not limit.expired():
            raise
        raise _did_not_load(spec) from None
    if isinstance(loaded, Handler):
        handling = Handling(loaded, loop, spec.invocation_timeout, container.name)
        native = getattr(loaded, "native", None)
        return (
            handling if native is None else Preferring(Batcher(native, loop, cap(container.environment)), handling)
        )
    if container.transforms:
        return PartBatcher(loaded, loop)
    return Batcher(loaded, loop, cap(container.environment))
