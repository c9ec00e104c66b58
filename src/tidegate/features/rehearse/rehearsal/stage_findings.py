"""The findings of the evidence in each stage of a rehearsed rollout, and when they came; and the same over many
rollouts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.domain.evidence import Finding, Verdict
from tidegate.domain.replay import ReplayResult

REPLAY_STAGE = -1
"""Before the first stage."""


@dataclass(frozen=True)
class ComparisonSpoke:
    """A comparison that found a difference above its tolerance by this test. ``replay``: labelled rows did.
    ``seconds``: since the stage began."""

    comparison: str
    variant: str
    test: str
    stage: int
    seconds: float


@dataclass(frozen=True)
class StageFinding:
    """The final verdict on a stage, and how many seconds after its beginning it came. ``lacking``: comparisons
    without enough data."""

    stage: int
    finding: Finding
    seconds: float
    reason: str
    lacking: tuple[str, ...] = ()


@dataclass
class FindingRecorder:
    """A recorder of the verdicts of one rollout as they come."""

    stages: dict[int, StageFinding] = field(default_factory=dict)
    spoke: list[ComparisonSpoke] = field(default_factory=list)

    def take_replay(self, found: Mapping[str, ReplayResult]) -> None:
        for variant, one in found.items():
            before = self.stages.get(REPLAY_STAGE)
            if before is None or before.finding is Finding.PASS:
                self.stages[REPLAY_STAGE] = StageFinding(REPLAY_STAGE, one.finding, 0.0, one.reason)
            failed = [
                " ".join(filter(None, (each.output, each.name, each.slice)))
                for each in one.statistics
                if each.finding is Finding.FAIL
            ]
            if failed:
                self.spoke.append(ComparisonSpoke("replay", variant, ", ".join(failed), REPLAY_STAGE, 0.0))

    def take(self, verdict: Verdict, stage: int, seconds: float) -> bool:
        """Record a verdict. Returns whether its finding is new. ``stage``: the present one; ``seconds``: since it
        began."""
        before = self.stages.get(stage)
        lacking = tuple(sorted({str(one.comparison) for one in verdict.results if one.finding is Finding.NO_DATA}))
        if before is not None and (before.finding, before.lacking) == (verdict.finding, lacking):
            self.stages[stage] = replace(before, reason=verdict.reason)
            return False
        self.stages[stage] = StageFinding(stage, verdict.finding, max(0.0, seconds), verdict.reason, lacking)
        known = {(one.comparison, one.variant) for one in self.spoke}
        self.spoke += [
            ComparisonSpoke(str(one.comparison), one.variant, one.test, stage, max(0.0, seconds))
            for one in verdict.results
            if one.finding is Finding.FAIL and (str(one.comparison), one.variant) not in known
        ]
        return before is None or before.finding is not verdict.finding

    @property
    def found(self) -> tuple[StageFinding, ...]:
        return tuple(self.stages[stage] for stage in sorted(self.stages))


@dataclass(frozen=True)
class ComparisonCount:
    """The number of rollouts in which a comparison found a difference in a stage, by which tests, and how many
    seconds after the stage began (median, and in 95 of 100 cases at most)."""

    comparison: str
    variant: str
    stage: int
    count: int
    tests: Mapping[str, int]
    p50: float
    p95: float


@dataclass(frozen=True)
class StageCount:
    """The number of rollouts that ended a stage with each finding. ``lacking``: how often which comparison had no
    data."""

    stage: int
    findings: Mapping[str, int]
    lacking: Mapping[str, int]


@dataclass(frozen=True)
class EvidenceSummary:
    spoke: tuple[ComparisonCount, ...] = ()
    stages: tuple[StageCount, ...] = ()


def summarise(runs: Iterable[tuple[Sequence[StageFinding], Sequence[ComparisonSpoke]]]) -> EvidenceSummary:
    """Summarise the evidence of many rollouts, by stage."""
    said: dict[tuple[int, str, str], list[ComparisonSpoke]] = {}
    stages: dict[int, list[StageFinding]] = {}
    for found, spoke in runs:
        for stage in found:
            stages.setdefault(stage.stage, []).append(stage)
        for one in spoke:
            said.setdefault((one.stage, one.comparison, one.variant), []).append(one)
    return EvidenceSummary(
        tuple(_count(said[key]) for key in sorted(said)),
        tuple(
            StageCount(
                stage,
                dict(Counter(str(one.finding) for one in found)),
                dict(Counter(name for one in found if one.finding is Finding.NO_DATA for name in one.lacking)),
            )
            for stage, found in sorted(stages.items())
        ),
    )


def _count(found: Sequence[ComparisonSpoke]) -> ComparisonCount:
    one, times = found[0], sorted(each.seconds for each in found)
    return ComparisonCount(
        one.comparison,
        one.variant,
        one.stage,
        len(found),
        dict(Counter(each.test for each in found).most_common()),
        times[(len(times) - 1) // 2],
        times[min(len(times) - 1, int(0.95 * len(times)))],
    )
