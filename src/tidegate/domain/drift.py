"""Drift by schedule: what is compared with which baseline and how often, and what was found."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidegate.domain.errors import Invalid

DAY = 86_400
FEWEST_SECONDS = 10
MOST_SECONDS = 31 * DAY
MOST_COLUMNS = 3
"""Columns by whose values rows are sliced."""


class DriftVerdict(StrEnum):
    DRIFT = "drift"
    NO_DRIFT = "no_drift"
    UNKNOWN = "unknown"
    """There was too little to say anything, or it could not be read. It is no good news."""


@dataclass(frozen=True)
class DriftSchedule:
    """Schedule and settings of an endpoint's drift detection. ``baseline`` is the address of a baseline or of
    SageMaker's ``statistics.json``. ``every`` is the number of seconds between looks, and ``window`` the number that
    each one covers. ``by`` are columns whose values are compared by themselves, too. ``columns`` names the columns of
    rows without names; if it is empty, they are those of the baseline. ``score`` is the place of the score in an
    answer. ``least`` is the smallest distance that matters. ``zone`` is the time zone of the calendar."""

    endpoint: str
    baseline: str
    created_at: datetime
    every: int = 60
    window: int = 300
    by: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    score: str = ""
    least: float = 0.1
    false_alarms: float = 0.05
    """Of what is found, the part that is expected to be chance, over all looks of a day together."""
    zone: str = "UTC"
    by_spec: bool = False
    """Whether a spec declares it, so that a spec which no longer does ends it."""

    @property
    def rate(self) -> float:
        """The rate of false discoveries of one look. Those of a day add up to ``false_alarms`` at most, however the
        looks depend on one another."""
        return self.false_alarms * min(1.0, self.every / DAY)


def check_terms(schedule: DriftSchedule) -> None:
    """Check the terms of a schedule, but not the addresses and the time zone. Raises Invalid."""
    for name, seconds in (("every", schedule.every), ("window", schedule.window)):
        if not FEWEST_SECONDS <= seconds <= MOST_SECONDS:
            raise Invalid(f"{name} of {seconds} s: give {FEWEST_SECONDS} seconds to 31 days")
    if not 0 < schedule.least < 1:
        raise Invalid(f"the smallest distance that matters is {schedule.least:g}: give one between 0 and 1")
    if not 0 < schedule.false_alarms < 1:
        raise Invalid(f"the rate of false alarms is {schedule.false_alarms:g}: give one between 0 and 1")
    if len(schedule.by) > MOST_COLUMNS or len(set(schedule.by)) < len(schedule.by):
        raise Invalid(f"slices by {', '.join(schedule.by)}: give up to {MOST_COLUMNS} different columns")


@dataclass(frozen=True)
class DriftTask:
    """One look to take. ``addresses`` are folders of captured files; ``span`` is the number of seconds that such a
    file may be open."""

    schedule: DriftSchedule
    addresses: tuple[str, ...]
    start: datetime
    end: datetime
    span: int
    s3_endpoint: str = ""
    region: str = ""
    file_roots: tuple[str, ...] | None = None
    """Folders in which the baseline may be; None: any."""
    report: "DriftReportPlace | None" = None


@dataclass(frozen=True)
class DriftReportPlace:
    """Destination to which a look writes its report in SageMaker's shapes. ``address`` is that of a folder.
    ``constraints`` is the address of the baseline's constraints.json, whose threshold counts; it is empty if there is
    none. ``roots`` are the folders in which reports that are files may be."""

    address: str
    constraints: str = ""
    kms_key: str = ""
    roots: tuple[str, ...] = ()


@dataclass(frozen=True)
class DriftFinding:
    """A violated constraint, in SageMaker's words."""

    column: str
    check: str
    description: str


@dataclass(frozen=True)
class DriftChange:
    """Change of the distribution of a column, over all rows (``slice`` empty) or over one slice. ``distance`` is the
    largest difference of the two distributions; ``probability`` is that of one as large by chance."""

    slice: str
    column: str
    test: str
    distance: float
    probability: float
    drifted: bool


@dataclass(frozen=True)
class ColumnShares:
    """A column in the baseline and now, as parts of the rows that have a value. Of numbers: by bins between
    ``edges``, those beyond counted in the outermost ones; of texts: by ``names``, the last one all others."""

    slice: str
    column: str
    before: tuple[float, ...]
    now: tuple[float, ...]
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class DriftOutcome:
    """Result of one look at the captures from ``start`` to ``end``. ``reason`` says why the verdict is unknown.
    ``tests`` is the number of tests. ``distances`` has the distance of each column over all rows. ``unsaid`` names
    what no conclusion is possible on. ``skipped`` counts captures that were not used, by reason. ``total`` is the
    number of findings, of which ``findings`` has the first."""

    start: datetime
    end: datetime
    verdict: DriftVerdict
    reason: str = ""
    rows: int = 0
    baseline_rows: int = 0
    tests: int = 0
    drifted: int = 0
    """Columns, of all rows or of a slice, that have drifted."""
    findings: tuple[DriftFinding, ...] = ()
    total: int = 0
    distances: dict[str, float] = field(default_factory=dict)
    unsaid: tuple[str, ...] = ()
    skipped: dict[str, int] = field(default_factory=dict)
    changes: tuple[DriftChange, ...] = ()
    """Those that have moved furthest, what has drifted first."""
    shares: tuple[ColumnShares, ...] = ()
    """Of the first of ``changes``."""


@dataclass(frozen=True)
class DriftPoint:
    """A turn of the history: from ``at`` on the verdict was this one."""

    at: datetime
    verdict: DriftVerdict
    findings: int
    said: str


@dataclass(frozen=True)
class DriftRecord:
    """The last look, and when the verdict changed, oldest first."""

    last: DriftOutcome
    history: tuple[DriftPoint, ...] = ()
