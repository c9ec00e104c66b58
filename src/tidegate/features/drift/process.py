"""Analyses in processes of their own, so that neither their processor time nor their memory is the controller's."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from tidegate.compose.background import Services
from tidegate.compose.environments import child_environment
from tidegate.domain.decoding import prepare_type
from tidegate.domain.drift import DriftOutcome, DriftTask
from tidegate.domain.errors import Transient
from tidegate.features.drift.loop import CaptureAccess, DriftSchedules
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots

T = TypeVar("T")

TIME_LIMIT = 300.0
"""Seconds of one look or execution."""
MAX_RUNNING = 3
DRIFT = "tidegate.features.drift"
ANALYST = "analyst"
"""What is shared by the loops that analyse: those of this feature and of Model Monitor."""
LAST = 500
"""Characters of what a process that failed wrote to its standard error."""


@dataclass
class ProcessAnalyst:
    """A few analyses at a time: one whose bucket does not answer must not hold up all others."""

    environment: Mapping[str, str]
    longest: float = TIME_LIMIT
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_RUNNING))

    async def analyse(self, task: DriftTask) -> DriftOutcome:
        """Raises Transient."""
        return await self.run((DRIFT,), task, DriftOutcome, self.turns, self.longest)

    async def run(
        self, module: Sequence[str], task: object, kind: type[T], turn: asyncio.Semaphore, longest: float
    ) -> T:
        """``module`` and its arguments. Raises Transient."""
        async with turn:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self.environment,
                start_new_session=True,  # Ctrl-C at the server's terminal is for the server, which runs it again
            )
            try:
                async with asyncio.timeout(longest):
                    out, error = await child.communicate(msgspec.json.encode(task))
            except TimeoutError:
                raise Transient(
                    f"the analysis was not finished within {longest:g} s: capture a smaller sample, or look at less"
                ) from None
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
        if child.returncode:
            said = error.decode(errors="replace").strip().rpartition("\n")[2][-LAST:]
            raise Transient(f"the analysis failed (status {child.returncode}): {said}")
        return msgspec.json.decode(out, type=prepare_type(kind))


def find_access(settings: Settings) -> CaptureAccess:
    return CaptureAccess(settings.capture_seconds, settings.s3_endpoint, settings.region, file_roots(settings))


def make_schedules(services: Services) -> DriftSchedules:
    """The loop of drift schedules."""
    analyst = services.share(ANALYST, lambda: ProcessAnalyst(child_environment(services.settings.state)))
    return DriftSchedules(
        services.store, services.metrics, services.clock, analyst, find_access(services.settings)
    )
