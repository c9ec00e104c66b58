"""An engine for several containers, where each request names its own (TargetContainerHostname)."""

import asyncio
from collections.abc import Mapping
from functools import partial
from time import perf_counter_ns

from tidegate.serving.contract.container_metrics import Meter
from tidegate.serving.contract.invocation import Call, Done, ModelEngine, Outcome, Rejected
from tidegate.serving.contract.target_headers import CONTAINER


class Direct:
    """Passes each request to the engine of the container that it names."""

    def __init__(self, engines: Mapping[str, ModelEngine]) -> None:
        self._engines = {name.encode(): (engine, Meter(name)) for name, engine in engines.items()}
        self._names = ", ".join(engines)

    def submit(self, call: Call, done: Done) -> None:
        name = call.headers.get(CONTAINER, b"")
        found = self._engines.get(name)
        if found is None:
            done(self._unknown(name))
            return
        engine, meter = found
        engine.submit(call, partial(self._finish, meter, call, done, perf_counter_ns()))

    @property
    def healthy(self) -> bool:
        return all(engine.healthy for engine, _ in self._engines.values())

    async def close(self) -> None:
        await asyncio.gather(*(engine.close() for engine, _ in self._engines.values()))

    @staticmethod
    def _finish(meter: Meter, call: Call, done: Done, began: int, outcome: Outcome) -> None:
        done(meter.finish(call, began, outcome))

    def _unknown(self, name: bytes) -> Rejected:
        if not name:
            message = "TargetContainerHostname is required to invoke a multi-container endpoint in Direct mode"
        else:
            shown = name[:63].decode("latin-1")
            message = f"TargetContainerHostname '{shown}' is not a container of this endpoint"
        return Rejected(400, "ValidationError", f"{message}; its containers are: {self._names}.")
