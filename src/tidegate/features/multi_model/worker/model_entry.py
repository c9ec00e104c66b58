"""The state of one model in the worker: its copy, the requests that wait for it, and its request rate."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tidegate.features.multi_model.worker.eviction import RequestRate
from tidegate.features.multi_model.worker.model_canary import ModelCanary
from tidegate.serving.contract.invocation import Call, Done, ModelEngine, Rejected

_WEIGHINGS = 5


@dataclass(slots=True)
class LoadedVersion:
    """A version in memory. ``size``: measured bytes, including those of the library if it is the ``first`` model of
    its kind. Times in seconds; ``native``: not a forest."""

    engine: ModelEngine
    mark: str
    size: int
    load_time: float
    native: bool
    first: bool = False


@dataclass(slots=True)
class VersionUpdate:
    """The canary of a newer version; ``copy`` once it is loaded."""

    canary: ModelCanary
    copy: LoadedVersion | None = None
    concluding: bool = False


@dataclass(slots=True)
class LoadWaiter:
    call: Call
    done: Done
    since: float
    timer: asyncio.TimerHandle


@dataclass(slots=True)
class LoadRefusal:
    """Why a model failed to load; the answer to its requests before ``until``. ``mark``: of the bad artifact."""

    answer: Rejected
    until: float
    mark: str = ""


@dataclass(slots=True)
class ModelEntry:
    """One model by name. It outlives its copy, for its request rate."""

    name: str
    key: str
    heat: RequestRate = field(default_factory=RequestRate)
    copy: LoadedVersion | None = None
    update: VersionUpdate | None = None
    loading: "asyncio.Task[None] | None" = None
    waiters: list[LoadWaiter] | None = None
    refusal: LoadRefusal | None = None
    in_hand: int = 0
    checked: float = 0.0
    """When its artifact was last checked."""
    mark: str = ""
    """Mark of the artifact that was loaded last."""
    refused: str = ""
    """Mark of the newer artifact that was refused."""
    paused_canary: ModelCanary | None = None
    """The unfinished canary at the last eviction, which continues at the next load."""
    sizes: tuple[int, ...] = ()
    """Measured bytes of the last loads: a single measurement may include other work of the process."""

    @property
    def size(self) -> int:
        """Median of the measured bytes; 0 before the first load."""
        return sorted(self.sizes)[(len(self.sizes) - 1) // 2] if self.sizes else 0

    def weigh(self, size: int) -> None:
        self.sizes = (*self.sizes[-_WEIGHINGS + 1 :], size)

    @property
    def state(self) -> str:
        if self.copy is None:
            return "loading" if self.loading is not None else "refused" if self.refusal else "out"
        return f"turnover: {self.update.canary.state.value}" if self.update is not None else "loaded"


Opening = Callable[[str], Awaitable[ModelEngine]]
"""Makes the engine of the model in a folder."""
