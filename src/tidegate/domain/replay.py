"""Replay of labelled rows before a rollout: what is asked, and what was found."""

from dataclasses import dataclass, field

from tidegate.domain.finding import Finding
from tidegate.domain.registry import Model

MOST_OUTPUTS = 20
"""Outputs of a model that are judged; of more classes those with the most labels."""


@dataclass(frozen=True)
class ReplayConfig:
    """Settings of a replay. ``rows`` is the address of a table, of JSON Lines, or of captures. ``label`` is the
    column of the labels; if it is empty, they are lines of ground truth at ``labels``, joined by id. ``other_labels``
    are the columns of the labels of the further numbers of an answer, in their order. ``by`` is the column of the
    slices. Tolerances say by how much the new version may be worse without harm: ``auc`` and
    ``calibration`` as they are, the others as parts of the old version's value."""

    rows: str
    label: str = ""
    labels: str = ""
    leave_out: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """Names of captured rows without names."""
    by: str = ""
    score: str = ""
    """Place of the score in an answer that is more than one number."""
    auc: float = 0.02
    calibration: float = 0.02
    mean: float = 0.15
    slice: float = 0.5
    error: float = 0.05
    """Mean absolute error, of labels that are amounts; log loss, of classes."""
    least_labels: int = 100
    """Of each class, or of labels that are amounts, without which nothing is decided."""
    within: int = 600
    """Seconds that each version may take."""
    recall: bool = False
    """Whether the positives among each version's highest 5 % are counted, for an assurance."""
    other_labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReplayStatistic:
    """One statistic of a replay. ``worse`` is by how much the new version is worse, in the unit of the tolerance;
    ``surely`` is by how much it is worse at least, with the rate of false rollbacks as the error of all statistics
    together. None is an unknown value."""

    name: str
    slice: str
    old: float | None
    new: float | None
    worse: float | None
    surely: float | None
    tolerance: float
    finding: Finding
    reason: str = ""
    error: float | None = None
    """Standard error of ``worse``."""
    output: str = ""
    """The output that it is about, by its label's column or as "class 2"; empty where only one is judged."""


@dataclass(frozen=True)
class ReplayResult:
    """NO_DATA is never a pass. ``positives``: of the output with the fewest; None for labels that are amounts."""

    finding: Finding
    reason: str
    rows: int = 0
    labelled: int = 0
    positives: int | None = None
    statistics: tuple[ReplayStatistic, ...] = ()
    skipped: dict[str, int] = field(default_factory=dict)
    """Rows that could not be used, by reason."""


@dataclass(frozen=True)
class ReplayRecord:
    """Results of the replay of an endpoint's last rollout that had one."""

    endpoint: str
    rollout: str
    old_config: str
    new_config: str
    config: ReplayConfig
    false_rollback_rate: float
    results: dict[str, ReplayResult]
    """By variant."""
    at: float
    """Epoch seconds."""


@dataclass(frozen=True)
class ReplayJob:
    """One replay to run. ``variants`` has their names and the models of the old and of the new version, whose model
    data is kept in the folder ``artifacts`` under the digests that their containers name. ``file_roots`` are the
    folders that ``file://`` may lead into; None allows any."""

    config: ReplayConfig
    false_rollback_rate: float
    variants: tuple[tuple[str, Model, Model], ...]
    artifacts: str
    file_roots: tuple[str, ...] | None
