"""Looks of drift schedules, and executions of monitoring schedules, in processes of their own, so that neither
their processor time nor their memory is the controller's."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from tidegate.compose.environments import child_environment
from tidegate.domain.drift import DriftOutcome, DriftTask
from tidegate.domain.errors import Transient
from tidegate.ports.clock import Clock
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store
from tidegate.reconcile.drift import CaptureAccess, DriftSchedules
from tidegate.reconcile.monitoring import MonitoringSchedules
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots

TIME_LIMIT = 300.0
"""Seconds of one look."""
MAX_RUNNING = 3
MODULE = "tidegate.advisor.drift"
LAST = 500
"""Characters of what a process that failed wrote to its standard error."""


@dataclass
class ProcessAnalyst:
    """A few looks at a time: one whose bucket does not answer must not hold up all others."""

    environment: Mapping[str, str]
    longest: float = TIME_LIMIT
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_RUNNING))

    async def analyse(self, task: DriftTask) -> DriftOutcome:
        """Raises Transient."""
        async with self._turn:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", MODULE),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self.environment,
            )
            try:
                async with asyncio.timeout(self.longest):
                    out, error = await child.communicate(msgspec.json.encode(task))
            except TimeoutError:
                raise Transient(
                    f"the look was not finished within {self.longest:g} s: capture a smaller sample, or look at less"
                ) from None
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
        if child.returncode:
            said = error.decode(errors="replace").strip().rpartition("\n")[2][-LAST:]
            raise Transient(f"the look failed (status {child.returncode}): {said}")
        return msgspec.json.decode(out, type=DriftOutcome)


def join_drift(
    settings: Settings, store: Store, metrics: Metrics, clock: Clock
) -> tuple[DriftSchedules, MonitoringSchedules]:
    """Nothing runs yet."""
    access = CaptureAccess(settings.capture_seconds, settings.s3_endpoint, settings.region, file_roots(settings))
    analyst = ProcessAnalyst(child_environment(settings.state))
    roots = settings.output_roots or (settings.state / "outputs",)
    return (
        DriftSchedules(store, metrics, clock, analyst, access),
        MonitoringSchedules(
            store, metrics, clock, analyst, access, tuple(str(root.expanduser().absolute()) for root in roots)
        ),
    )
