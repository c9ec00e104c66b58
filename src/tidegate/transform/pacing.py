"""How large requests are and how many go at one time: the job's word, then the container's, then the default."""

from dataclasses import dataclass

import msgspec

from tidegate.domain.transform import RequestLimits, SplitType

CONCURRENCY, MEGABYTES = 1, 6
"""SageMaker's, where nobody says."""
OWN_CONCURRENCY = 3
"""For the runtimes of this platform: one request is computed, the next is read, and one is on its way."""
OWN_BATCH = 512 * 1024
"""Bytes of a batch to them: larger ones are no faster, and come later."""
MOST = 100
"""Megabytes, and requests at one time, that a container may ask for."""


class Said(msgspec.Struct, rename="pascal"):
    """A container's answer to ``GET /execution-parameters``; zero and no text: it does not say."""

    max_concurrent_transforms: int = 0
    batch_strategy: str = ""
    max_payload_in_mb: int = msgspec.field(default=0, name="MaxPayloadInMB")
    tidegate_parts: bool = False
    """It reads parts of local files itself."""


@dataclass(frozen=True)
class Settled:
    """``limit``: bytes of a request; ``aim``: of most requests, where a record alone may take more (0: as many as the
    limit allows). ``concurrency``: requests at one time to one instance. ``parts``: a request may
    name a part of a local file instead of carrying it."""

    single: bool
    limit: int
    concurrency: int
    parts: bool = False
    aim: int = 0


def heard(answer: bytes) -> Said:
    """An answer that cannot be read says nothing."""
    try:
        return msgspec.json.decode(answer, type=Said)
    except msgspec.DecodeError:
        return Said()


def settle(pace: RequestLimits, said: Said, split: SplitType, built_in: bool) -> Settled:
    single = pace.single if pace.single is not None else said.batch_strategy.upper() == "SINGLE_RECORD"
    megabytes = pace.megabytes or min(MOST, max(0, said.max_payload_in_mb)) or MEGABYTES
    limit = megabytes * 2**20
    aim = OWN_BATCH if built_in and pace.megabytes is None and split is SplitType.LINE else 0
    asked = pace.concurrency or min(MOST, max(0, said.max_concurrent_transforms))
    parts = built_in and said.tidegate_parts and not single and split is SplitType.LINE
    return Settled(single, limit, asked or (OWN_CONCURRENCY if built_in else CONCURRENCY), parts, aim)
