"""How large requests are, and how many are sent at one time: by the job, else the container, else the default."""

from dataclasses import dataclass

import msgspec

from tidegate.domain.transform import RequestLimits, SplitType

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
        return msgspec.json.decode(answer, type=ExecutionParameters)
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
