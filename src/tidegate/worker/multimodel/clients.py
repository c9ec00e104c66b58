"""What the worker knows of one model: whether it is loaded, who waits for it, how much it is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tidegate.worker.invocation import Call, Done, Engine, Rejected
from tidegate.worker.multimodel.policy import Heat
from tidegate.worker.multimodel.turnover import Turnover


@dataclass(slots=True)
class Copy:
    """A version in memory. ``size``: measured bytes. Times in seconds; ``native``: other than a forest."""

    engine: Engine
    mark: str
    size: int
    load_time: float
    native: bool


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
    refused: str = ""
    """Mark of the newer artifact that was no good."""
    size: int = 0
    """What it took when it was last loaded."""

    @property
    def state(self) -> str:
        if self.copy is None:
            return "loading" if self.loading is not None else "refused" if self.refusal else "out"
        return f"turnover: {self.renewal.turnover.state.value}" if self.renewal is not None else "loaded"


Opening = Callable[[str], Awaitable[Engine]]
"""Makes the engine of the model in a folder."""
