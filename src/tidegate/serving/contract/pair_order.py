"""The platform's order to a fleet whose answers are compared with those of another version to the same requests."""

from dataclasses import dataclass, field

from tidegate.domain import worker_stats

PAIR_PATH = worker_stats.PAIR_PATH.encode()
TRACED, TEXT = b"traced=1", b"text=1"
"""Parts of the query of a copy whose answer shows the outputs of the stages, or its text."""


@dataclass(frozen=True)
class PairOrder:
    """The file that the workers of the old version read, as JSON."""

    fleet: str
    """Id of the new version's fleet, by which the proxy routes copies."""
    slices: tuple[str, ...] = ()
    """Columns of the request, by name or number, whose values go with each pair."""
    features: bool = False
    """Whether the outputs of a pipeline's stages go with some pairs."""
    texts: bool = False
    """Whether answers that are text go with some pairs."""


@dataclass(frozen=True)
class StageFirstRow:
    """The first row of a stage's output."""

    stage: str
    names: list[str]
    values: list[float | str | None]


@dataclass(frozen=True)
class CopyAnswer:
    """A worker's answer to a copy, as JSON. ``failed``: the model failed; ``prediction`` None: its answer has no
    finite number. ``rows``: number of rows in its answer; ``numbers``: some of their values, each as row, output and
    value; ``text``: its beginning, where that was asked for and it is text. A worker of an earlier version gives none
    of these."""

    prediction: float | None
    failed: bool
    stages: list[StageFirstRow]
    rows: int = 0
    numbers: list[tuple[int, int, float | None]] = field(default_factory=list)
    text: str | None = None
