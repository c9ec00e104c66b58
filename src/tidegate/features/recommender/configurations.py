"""The configurations that are tried, and what a load of one says. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from tidegate.domain.errors import Invalid

BATCHES = (1, 16, 64)
"""Rows that one call of the model may have, at most."""


@dataclass(frozen=True, order=True)
class CandidateConfiguration:
    """``instances`` processes of ``threads`` threads each, which score up to ``batch_rows`` waiting rows together."""

    instances: int
    threads: int
    batch_rows: int

    def __str__(self) -> str:
        many = "instance" if self.instances == 1 else "instances"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.instances} {many}, {threads}, batches of {self.batch_rows}"

    @property
    def environment(self) -> dict[str, str]:
        return {"OMP_NUM_THREADS": str(self.threads), "MAX_BATCH_ROWS": str(self.batch_rows)}


def candidates(cores: int) -> tuple[CandidateConfiguration, ...]:
    """All that make sense on so many cores: instances and threads up to twice the cores together."""
    counts = sorted({1, cores, *(2**power for power in range(1, 7) if 2**power <= cores)})
    return tuple(
        CandidateConfiguration(instances, threads, rows)
        for instances, threads, rows in product(counts, (1, *(n for n in counts if n > 1)), BATCHES)
        if instances * threads <= max(2, cores)
    )


@dataclass(frozen=True)
class Objective:
    """``percent`` of the requests, 99 for instance, are answered within ``seconds``."""

    percent: float
    seconds: float

    def __post_init__(self) -> None:
        if not 0 < self.percent < 100:
            raise Invalid(f"objective p{self.percent:g}: give a percentile between 0 and 100, such as p99=50ms")
        if not 0 < self.seconds <= 3600:
            raise Invalid(f"objective of {self.seconds:g} s: give a time above 0 and up to an hour")

    def __str__(self) -> str:
        return f"p{self.percent:g} within {self.seconds * 1000:g} ms"

    def holds(self, probe: "LoadProbe") -> bool:
        """Every request was answered well, as many as were due, and in time."""
        kept_up = probe.answered >= 0.95 * probe.rate
        return probe.failed == 0 and kept_up and probe.latency <= self.seconds


@dataclass(frozen=True)
class LoadProbe:
    """One load: ``rate`` requests a second were due, ``answered`` came back. ``latency`` is the objective's
    percentile in seconds, from when a request was due. ``cpu`` is seconds of CPU a request, proxy, workers and
    controller together; ``cores`` are those of the machine that the load itself left over. ``memory``: bytes of one
    worker."""

    rate: float
    answered: float
    latency: float
    failed: int
    cpu: float
    cores: float
    memory: int

    @property
    def busy(self) -> float:
        """Part of the cores that served, 0 to 1."""
        return min(1.0, self.answered * self.cpu / self.cores) if self.cores > 0 else 1.0

    @property
    def per_core(self) -> float:
        """Requests a second that one core carried at this load."""
        return self.busy / self.cpu if self.cpu > 0 else 0.0


@dataclass(frozen=True)
class MeasuredConfiguration:
    """Everything that was measured of one configuration, in the order in which it was. ``looks`` are those for its
    highest rate that count, if not all of it does."""

    candidate: CandidateConfiguration
    probes: tuple[LoadProbe, ...]
    looks: tuple[tuple[LoadProbe, ...], ...] = ()

    def best(self, objective: Objective) -> LoadProbe | None:
        """The highest rate that held, of several looks that of the lower median; None where none did."""
        held = sorted((best for best in self._bests(objective) if best is not None), key=lambda probe: probe.rate)
        return held[(len(held) - 1) // 2] if held else None

    def score(self, objective: Objective) -> float:
        """Requests a second of one core while the objective held: the larger, the cheaper a request. The mean of
        several looks."""
        bests = self._bests(objective)
        return sum(0.0 if best is None else best.per_core for best in bests) / len(bests)

    def _bests(self, objective: Objective) -> list[LoadProbe | None]:
        return [
            max((probe for probe in look if objective.holds(probe)), key=lambda probe: probe.rate, default=None)
            for look in self.looks or (self.probes,)
        ]


Measure = Callable[[CandidateConfiguration, float, float], LoadProbe]
"""(configuration, requests a second, seconds) -> what came of it."""
