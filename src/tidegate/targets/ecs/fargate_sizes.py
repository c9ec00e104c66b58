"""Sizes that Fargate has (ECS developer guide, "Task CPU and memory"). Pure."""

from tidegate.domain.errors import TargetRefused

_GIB = 1024
SIZES: dict[int, range] = {
    256: range(512, 2 * _GIB + 1, 512),
    512: range(1 * _GIB, 4 * _GIB + 1, _GIB),
    1024: range(2 * _GIB, 8 * _GIB + 1, _GIB),
    2048: range(4 * _GIB, 16 * _GIB + 1, _GIB),
    4096: range(8 * _GIB, 30 * _GIB + 1, _GIB),
    8192: range(16 * _GIB, 60 * _GIB + 1, 4 * _GIB),
    16384: range(32 * _GIB, 120 * _GIB + 1, 8 * _GIB),
}
"""CPU units -> MiB of memory. 256 units have 512, 1024 and 2048 MiB only."""
_SMALLEST = (512, 1024, 2048)


def fit(cpu: int, memory: int) -> tuple[int, int]:
    """The smallest size with at least so much of both. Raises TargetRefused."""
    for units, sizes in SIZES.items():
        memories = _SMALLEST if units == 256 else sizes
        enough = [size for size in memories if size >= memory]
        if units >= cpu and enough:
            return units, enough[0]
    raise TargetRefused(
        f"no size of Fargate has {cpu} CPU units and {memory} MiB: at most 16384 units and {120 * _GIB} MiB"
    )
