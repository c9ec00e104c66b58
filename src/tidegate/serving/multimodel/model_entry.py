"""What the worker knows of one model: whether it is loaded, who waits for it, how much it is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tidegate.serving.contract.invocation import Call, Done, Engine, Rejected
from tidegate.serving.multimodel.model_canary import Turnover
from tidegate.serving.multimodel.policy import Heat

_WEIGHINGS = 5


@dataclass(slots=True)
class Copy:
    """A version in memory. ``size``: measured bytes, with what the process itself needed where it is ``first`` of its
    kind. Times in seconds; ``native``: other than a forest."""

    engine: Engine
    mark: str
    size: int
    load_time: float
    native: bool
    first: bool = False


@dataclass(slots=True)
class Renewal:
    """A newer version on its way; ``copy`` once it is loaded."""

    turnover: Turnover
    copy: Copy | None = None
    concluding: bool = False


@dataclass(slots=True)
class Waiter:
    call: Call
    done: Done
    since: float
    timer: asyncio.TimerHandle


@dataclass(slots=True)
class Refusal:
    """Why it cannot be had, told to who asks before ``until``. ``mark``: of the artifact that was no good."""

    answer: Rejected
    until: float
    mark: str = ""


@dataclass(slots=True)
class Client:
    """One model by name; it stays a while after its copy has gone, for its heat."""

    name: str
    key: str
    heat: Heat = field(default_factory=Heat)
    copy: Copy | None = None
    renewal: Renewal | None = None
    loading: "asyncio.Task[None] | None" = None
    waiters: list[Waiter] | None = None
    refusal: Refusal | None = None
    in_hand: int = 0
    checked: float = 0.0
    """When its artifact was last looked at."""
    mark: str = ""
    """Of the artifact that was loaded last."""
    refused: str = ""
    """Mark of the newer artifact that was no good."""
    tried: Turnover | None = None
    """How far the trial of a newer version had come when the model was let go: it goes on from there."""
    sizes: tuple[int, ...] = ()
    """What it took when it was loaded, the last times: a measurement alone may count other work of the process."""

    @property
    def size(self) -> int:
        """What it takes, in bytes; 0 before it was loaded."""
        return sorted(self.sizes)[(len(self.sizes) - 1) // 2] if self.sizes else 0

    def weigh(self, size: int) -> None:
        self.sizes = (*self.sizes[-_WEIGHINGS + 1 :], size)

    @property
    def state(self) -> str:
        if self.copy is None:
            return "loading" if self.loading is not None else "refused" if self.refusal else "out"
        return f"turnover: {self.renewal.turnover.state.value}" if self.renewal is not None else "loaded"


Opening = Callable[[str], Awaitable[Engine]]
"""Makes the engine of the model in a folder."""
