"""How large requests are, how many are sent at one time, and how long a refused one waits before it is sent again."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import ArtifactError, TidegateError, Transient
from tidegate.domain.transform import RequestLimits, SplitType
from tidegate.features.batch import incidents
from tidegate.features.batch.incidents import Incident
from tidegate.storage.files import translate_file_errors

CONCURRENCY, MEGABYTES = 1, 6
"""SageMaker's defaults."""
BUILT_IN_CONCURRENCY = 3
"""For the runtimes of this platform: one request is computed, one is read, and one is in transit."""
PARTS_CONCURRENCY = 4
"""For those that read parts of a file themselves: two are computed, and two are there when these are done."""
BUILT_IN_BATCH = 512 * 1024
"""Bytes of a batch to them: larger ones are not faster, and delay the first answer."""
MAX = 100
"""Megabytes, and requests at one time, that a container may ask for."""


class ExecutionParameters(msgspec.Struct, rename="pascal"):
    """A container's answer to ``GET /execution-parameters``; zero or empty: not given."""

    max_concurrent_transforms: int = 0
    batch_strategy: str = ""
    max_payload_in_mb: int = msgspec.field(default=0, name="MaxPayloadInMB")
    tidegate_parts: bool = False
    """The container reads parts of local files itself."""


@dataclass(frozen=True)
class RequestPlan:
    """``limit``: bytes of a request; ``aim``: of most requests, where a record alone may take more (0: as many as the
    limit allows). ``concurrency``: requests at one time to one instance. ``parts``: a request may
    name a part of a local file instead of carrying it."""

    single: bool
    limit: int
    concurrency: int
    parts: bool = False
    aim: int = 0


def parse_parameters(answer: bytes) -> ExecutionParameters:
    """An answer that cannot be parsed counts as empty."""
    try:
        return msgspec.json.decode(answer, type=prepare_type(ExecutionParameters))
    except msgspec.DecodeError:
        return ExecutionParameters()


def plan_requests(
    pace: RequestLimits, parameters: ExecutionParameters, split: SplitType, built_in: bool
) -> RequestPlan:
    single = pace.single if pace.single is not None else parameters.batch_strategy.upper() == "SINGLE_RECORD"
    megabytes = pace.megabytes or min(MAX, max(0, parameters.max_payload_in_mb)) or MEGABYTES
    limit = megabytes * 2**20
    aim = BUILT_IN_BATCH if built_in and pace.megabytes is None and split is SplitType.LINE else 0
    asked = pace.concurrency or min(MAX, max(0, parameters.max_concurrent_transforms))
    parts = built_in and parameters.tidegate_parts and not single and split is SplitType.LINE
    usual = PARTS_CONCURRENCY if parts else BUILT_IN_CONCURRENCY if built_in else CONCURRENCY
    return RequestPlan(single, limit, asked or usual, parts, aim)


# --- retries while a storage or a disk is in trouble, and shows it in the job's progress ---


T = TypeVar("T")


MAX_FAILED_OBJECTS = 3
"""Objects in a row that failed without any progress of the job: then the trouble is not one object's."""
TRIES_AFTER_ONE = 3
"""Tries of an object after another one failed, without progress since."""


class RetryTimeout(TidegateError):
    """Trouble of the whole job lasted too long."""


@dataclass
class RetryWait:
    """``deadline`` is the job's, on ``clock``; None: it has none."""

    deadline: float | None = None
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    reasons: dict[str, str] = field(default_factory=dict)
    """Why each object waits."""
    _failed: Counter[str] = field(default_factory=Counter)
    """By kind of work, objects that failed since the last progress of any object."""

    async def retry(
        self, who: str, kind: str, work: Callable[[], Awaitable[T]], done: Callable[[], object] = lambda: None
    ) -> T:
        """Try until it succeeds. ``kind`` of work: reading says nothing about writing. ``done``
        changes with every progress. Raises what will not pass; Transient or RetryTimeout when the trouble has lasted
        too long."""
        incident: Incident | None = None
        before = done()
        try:
            while True:
                try:
                    found = await work()
                    self.mark_progress(kind)
                    return found
                except (Transient, OSError) as error:
                    trouble = (
                        translate_file_errors("the job's folder", error) if isinstance(error, OSError) else error
                    )
                if isinstance(trouble, ArtifactError):
                    raise trouble
                now, progress = self.clock(), done()
                if progress != before:
                    self.mark_progress(kind)
                incident = incidents.next_incident(incident, now, progressed=progress != before)
                before = progress
                if self._is_over(kind, incident, now):
                    raise self._too_long(kind, trouble, incident, now)
                self.reasons[who] = str(trouble)
                await self.sleep(incident.pause)
        finally:
            self.reasons.pop(who, None)

    def mark_progress(self, kind: str) -> None:
        """Records progress of this kind of work."""
        self._failed[kind] = 0

    def _is_over(self, kind: str, incident: Incident, now: float) -> bool:
        hopeless = self._failed[kind] > 0 and incident.tries >= TRIES_AFTER_ONE
        return hopeless or incidents.is_over(incident, now, self.deadline)

    def _too_long(self, kind: str, trouble: TidegateError, incident: Incident, now: float) -> TidegateError:
        self._failed[kind] += 1
        message = f"{trouble} (for {now - incident.since:.0f} s, {incident.tries} tries)"
        return RetryTimeout(message) if self._failed[kind] >= MAX_FAILED_OBJECTS else Transient(message)
