"""Evidence about a new version in comparison with the old one: what is compared, what is found, what is kept."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

from tidegate.domain.assurance import Assurance, HarmResult
from tidegate.domain.finding import Finding
from tidegate.domain.registry import SecretReference
from tidegate.domain.replay import ReplayConfig, ReplayResult

__all__ = [
    "Comparison",
    "ComparisonResult",
    "Counts",
    "DifferingRow",
    "EvidenceAction",
    "EvidenceBlock",
    "EvidenceConfig",
    "EvidenceRecord",
    "Explanation",
    "Finding",
    "Measurement",
    "NoDataAction",
    "Preference",
    "RisingAction",
    "StoredEvidence",
    "Verdict",
    "Wait",
]


class Comparison(StrEnum):
    """Property in which the two versions are compared."""

    ERRORS = "errors"
    LATENCY = "latency"
    PREDICTIONS = "predictions"
    PAIRED = "paired"
    """The predictions of both versions on the same requests."""
    FEATURES = "features"
    """What the first stage of a pipeline makes of the same requests, column by column."""
    TEXT = "text"
    """Answers that are text: refusals, repetitions, empty ones, their length and their pace."""
    JUDGE = "judge"
    """Answers of both versions to the same requests, of which a language model says which one is better."""


OF_TRAFFIC = (Comparison.ERRORS, Comparison.LATENCY, Comparison.PREDICTIONS, Comparison.TEXT)
"""Comparisons of what the versions answered to clients, each to its own."""
OF_PAIRS = frozenset({Comparison.PAIRED, Comparison.FEATURES, Comparison.JUDGE})
"""Comparisons of both versions on the same requests."""


class EvidenceAction(StrEnum):
    """Action on a difference above its tolerance."""

    ROLLBACK = "rollback"
    GATE = "gate"
    """The stage holds until a person promotes or aborts the rollout."""
    REPORT = "report"


class NoDataAction(StrEnum):
    """Action on a stage that has too little evidence at its deadline."""

    ROLLBACK = "rollback"
    GATE = "gate"
    ADVANCE = "advance"


class RisingAction(StrEnum):
    """Action on a stage whose bake is over while a difference may be above its tolerance."""

    HOLD = "hold"
    """It holds until that is known, at most until the deadline; then what NoDataAction says."""
    ADVANCE = "advance"


@dataclass(frozen=True)
class PairedLimits:
    """Limits for the differences between two predictions of the same requests. The unit is 1 in log-odds if
    predictions are scores from 0 to 1; that of amounts follows from the old version (``evidence.units``). Differences
    of a request count as 3 units at most. Shares and the order are fractions."""

    distance: float
    """Mean absolute difference, in units."""
    bias: float
    """Mean difference, upwards or downwards, in units."""
    moved: float
    """Part of the requests whose predictions differ by more than one unit."""
    top: float
    """Part of the old version's highest 5 % that are not among the new version's."""
    top_bias: float
    """Mean difference among the old version's highest 5 %, in units."""
    order: float
    """Part of the pairs of requests that the versions put in the opposite order."""
    slice: float
    """Mean difference in any slice, in units."""
    failed: float
    """Part of the requests that only the new version may fail, beyond those that only the old one fails; the same of
    answers without a finite number."""


OF_SCORES = PairedLimits(
    distance=0.6, bias=0.4, moved=0.15, top=0.4, top_bias=0.5, order=0.4, slice=1.2, failed=0.01
)  # fmt: skip
"""Defaults for scores from 0 to 1: honest trainings of a model with rare positives differ much, in any direction."""
OF_AMOUNTS = PairedLimits(
    distance=0.5, bias=0.15, moved=0.07, top=0.4, top_bias=0.8, order=0.3, slice=0.4, failed=0.01
)  # fmt: skip
"""Defaults for all other predictions: honest trainings of a model of amounts differ from request to request, and
hardly on the average of all or of a slice."""


@dataclass(frozen=True)
class PairedTolerance:
    """The limits that somebody set. None: the default for the kind of prediction."""

    distance: float | None = None
    bias: float | None = None
    moved: float | None = None
    top: float | None = None
    top_bias: float | None = None
    order: float | None = None
    slice: float | None = None
    failed: float | None = None

    def limits(self, amounts: bool) -> PairedLimits:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(OF_AMOUNTS if amounts else OF_SCORES, **given)


@dataclass(frozen=True)
class FeatureTolerance:
    """Tolerances for differences between the columns of two versions."""

    rows: float = 0.01
    """Part of the requests in which a column may have another value."""
    scale: float = 0.25
    """Part by which a column may be stretched or compressed as a whole (a scaler that was fitted again)."""
    shift: float = 0.25
    """How far a column may be moved as a whole, in its standard deviations."""


@dataclass(frozen=True)
class TextTolerance:
    """Tolerances for differences between texts that two versions answer, as fractions."""

    refusals: float = 0.02
    """Part of the answers that may be refusals in addition to those of the old version."""
    repetitions: float = 0.02
    """The same of answers that repeat themselves."""
    empty: float = 0.005
    """The same of answers that say nothing."""
    length: float = 0.15
    """Part of the answers whose length may move across any level."""
    first_token: float = 0.3
    """Part by which a quantile of the time to the first text may exceed the old version's."""
    speed: float = 0.3
    """Part by which the old version's median of tokens per second may exceed the new one's."""


@dataclass(frozen=True)
class Judging:
    """The judge of texts: a service that speaks OpenAI's API at ``url``, and its ``model`` of that name."""

    url: str
    model: str
    headers: Mapping[str, str | SecretReference] = field(default_factory=dict)
    """Sent with each question."""
    asks: int = 400
    """Most questions about each variant in a rollout, which bounds the cost."""
    rubric: str = "Which of the two answers is more correct, more helpful and better written?"
    """The question that it is asked."""
    labels: int = 0
    """Most pairs of each variant in a rollout whose texts are kept until a person says which answer is better."""


@dataclass(frozen=True)
class EvidenceConfig:
    """How the versions of a rollout are compared. Tolerances are differences that do no harm, as fractions."""

    compare: tuple[Comparison, ...] = (Comparison.ERRORS, Comparison.LATENCY)
    errors: float = 0.0005
    """Part of the requests that may fail in addition to those that fail on the old version."""
    latency: float = 0.3
    """Part by which a quantile of the latency may exceed the old version's."""
    predictions: float = 0.1
    """Part of the predictions that may move across any level."""
    false_rollback_rate: float = 0.01
    """Upper bound of the probability that a rollout of an equal version fails, over all comparisons and looks."""
    action: EvidenceAction = EvidenceAction.ROLLBACK
    minimum: int = 100
    """Requests of each version that every comparison needs in each stage."""
    deadline: int = 3600
    """Seconds after the end of a bake until which evidence may arrive."""
    on_no_data: NoDataAction = NoDataAction.ROLLBACK
    on_rising: RisingAction = RisingAction.HOLD
    replay: ReplayConfig | None = None
    """Labelled rows that both versions answer before any traffic is shifted."""
    paired: PairedTolerance = PairedTolerance()
    features: FeatureTolerance = FeatureTolerance()
    text: TextTolerance = TextTolerance()
    judge: float = 0.1
    """Part of the pairs by which those whose old answer is preferred may exceed those whose new one is."""
    judging: Judging | None = None
    """The judge, where one is asked."""
    slices: tuple[str, ...] = ()
    """Columns of the request, by name or number, by whose values paired predictions are compared, too."""
    on_features: EvidenceAction = EvidenceAction.GATE
    """What a difference does that features alone have found, where ``action`` is to roll back: columns say that the
    versions are given different values, and not that this does harm."""
    copies: int = 120
    """Seconds in which the new version gets copies of requests only, before it gets traffic. Only of pairs."""
    assure: Assurance | None = None
    """The harm that must be ruled out before the new version gets more than some share."""


def action_on(config: EvidenceConfig, verdict: "Verdict | None") -> EvidenceAction:
    """Return the action on a failure with these findings."""
    failed = [one for one in verdict.results if one.finding is Finding.FAIL] if verdict else []
    acting = any(rolls_back(config, one.comparison, one.by_people) for one in failed)
    if failed and config.action is EvidenceAction.ROLLBACK and not acting:
        return EvidenceAction.GATE
    return config.action


def rolls_back(config: EvidenceConfig, comparison: Comparison, by_people: bool = False) -> bool:
    """Whether a difference that this comparison alone has found rolls a version back. What a judge prefers is no
    harm by itself, as it may like long answers: ``by_people`` says that labels of people have corrected it."""
    if comparison is Comparison.FEATURES and config.action is EvidenceAction.ROLLBACK:
        return config.on_features is EvidenceAction.ROLLBACK
    return (comparison is not Comparison.JUDGE or by_people) and config.action is EvidenceAction.ROLLBACK


def gets_copies_first(config: EvidenceConfig) -> bool:
    """Whether a rollout begins with a stage in which the new version gets copies of requests only."""
    return config.copies > 0 and not OF_PAIRS.isdisjoint(config.compare)


Sums = tuple[int, float, float]
"""Number of values from 0 to 1, their sum, and the sum of their squares."""
NO_SUMS: Sums = (0, 0.0, 0.0)

Counts = tuple[int, int, int, int]
"""Requests and hits of the old version, requests and hits of the new version."""


@dataclass(frozen=True)
class DifferingRow:
    """A request that both versions were given, as a person is shown it: the numbers in which they differ most.
    ``new`` None: the new version failed it, or answered without a finite number. ``output``: which number of a row it
    is, from 0. ``request``: its body as data capture writes it; empty where requests are not captured."""

    variant: str
    old: float
    new: float | None
    key: int = 0
    """Equal for equal requests; 0: unknown."""
    output: int = 0
    slices: tuple[tuple[str, str], ...] = ()
    """Column and value."""
    request: str = ""


@dataclass(frozen=True)
class Explanation:
    """Explanation of a rollback besides its reason: ``rows`` on which the versions differ most, and the
    command by which what was found is found again."""

    rows: tuple[DifferingRow, ...] = ()
    reproduce: str = ""

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """Name and text of each line that shows it."""
        rows = tuple(("differs", describe_row(row)) for row in self.rows)
        return (*rows, ("reproduce", self.reproduce)) if self.reproduce else rows


def describe_row(row: DifferingRow) -> str:
    """``0.031 -> 0.912 (country=DE) for {"amount": 12}``."""
    new = "no number" if row.new is None else f"{row.new:.4g}"
    output = f" in output {row.output + 1}" if row.output else ""
    slices = f" ({', '.join(f'{column}={value}' for column, value in row.slices)})" if row.slices else ""
    return f"{row.old:.4g} -> {new}{output}{slices}" + (f" for {row.request}" if row.request else "")


NO_EXPLANATION = Explanation()


@dataclass(frozen=True)
class Preference:
    """A person's label of one judged pair. ``preferred``: 1 for the old version's answer, 0 for the new one's, 1/2
    for neither. ``judged``: the same by the judge, of all pairs of the group from which chance chose the one at the
    place ``chosen``; 1/2 also where it gave no verdict."""

    id: str
    variant: str
    judged: tuple[float, ...]
    chosen: int
    preferred: float


@dataclass(frozen=True)
class EvidenceBlock:
    """Counts of one span of time (``at`` to ``at + seconds``, epoch seconds) in one stage, by test."""

    at: int
    seconds: int
    stage: int
    counts: dict[str, Counts]
    sums: dict[str, Sums] = field(default_factory=dict)
    """Of comparisons of pairs."""
    units: dict[str, float] = field(default_factory=dict)
    """Of comparisons of pairs, from this block on, where it was another one before: what one unit of an output is in
    the prediction's own unit. Scores from 0 to 1 are measured in log-odds and have none."""
    share: int | None = None
    """Share of the requests that the new version should have had in the whole block, in basis points; None: it
    changed in the block, or was not in force."""
    rows: tuple[DifferingRow, ...] = ()
    """Those of its requests on which the versions differ more than on the rows of the blocks before it."""
    preferences: tuple[Preference, ...] = ()
    """Labels of people that came in it, in the order in which their pairs were judged."""


@dataclass(frozen=True)
class Measurement:
    """Result of one test of a comparison in the newest stage that the test has data of. ``estimate`` is how much
    worse the new version is, with bounds that hold at all looks together, in the unit of ``tolerance``. ``count`` is
    the number of pairs, or of requests of the version that has fewer. ``evidence`` is that of the test by itself, as
    in ComparisonResult. ``rising`` means that the estimate lies above the tolerance by more than chance explains."""

    test: str
    finding: Finding
    estimate: float
    low: float
    high: float
    tolerance: float
    count: int
    evidence: float
    rising: bool = False


@dataclass(frozen=True)
class ComparisonResult:
    """Result of one comparison of one variant, which may consist of several tests. ``evidence`` is the logarithm
    of the largest e-value so far over the logarithm at which the comparison fails: 1 or more is a failure.
    ``test`` is the test that has most evidence, and ``counts`` are its sums over the rollout."""

    comparison: Comparison
    variant: str
    finding: Finding
    evidence: float
    test: str
    counts: Counts = (0, 0, 0, 0)
    stage_requests: tuple[int, int] = (0, 0)
    """Requests of the old and of the new version in the present stage."""
    stage_blocks: int = 0
    """Blocks of the present stage in which both versions had requests."""
    pairs: Sums = NO_SUMS
    """Of a comparison of pairs: the sums of ``test`` over the rollout."""
    also: tuple[str, ...] = ()
    """Of a comparison of pairs: further tests with a difference above their tolerance."""
    lost: tuple[int, int] = (0, 0)
    """Of a comparison of pairs: how many were expected in the present stage, and how many copies were lost in it,
    those of requests that came before included."""
    measurements: tuple[Measurement, ...] = ()
    """Of the tests that have data; where they are very many, of those with most evidence."""
    rising: bool = False
    """Much of the evidence for a failure is there, or the estimate of a test lies above its tolerance."""
    unit: float | None = None
    """Of paired predictions that are amounts: what one unit of ``test`` is in the prediction's own unit."""
    repeated: int = 0
    """Of paired predictions: answered copies in the present stage of requests that came before."""
    complete: bool = False
    """Of paired predictions: nearly all that is asked was compared before, so what was found is all there is."""
    compared: int = 0
    """Of paired predictions: different requests that were compared in the rollout."""
    never: str = ""
    """Why this comparison cannot be judged, however long it waits; empty: it can."""
    needed: bool = True
    """Whether the present stage needs it to pass."""
    questions: tuple[int, int] = (0, 0)
    """Questions that a judge was asked about this variant, and the most that it may be asked. No other comparison has
    any."""
    first: float | None = None
    """Share of a judge's decisions for the answer that it was shown first, which is a half if it has no bias to a
    position; None: it has decided nothing yet."""
    labels: tuple[int, int] = (0, 0)
    """Labels of people that correct a judge, and the number from which on they decide and not the judge; 0: none are
    asked for."""
    by_people: bool = False
    """The finding is that of the labels of people."""


@dataclass(frozen=True)
class Wait:
    """Description of what a stage waits for: ``what`` is compared, and what of it is ``missing``. ``requests``: about
    how many more it takes, and ``seconds``: how long that takes at the present rate; None: it cannot be said."""

    what: str
    missing: str
    requests: int | None = None
    seconds: int | None = None


@dataclass(frozen=True)
class Verdict:
    """Result of all comparisons of a rollout, as of one stage. ``rising``: a comparison that the stage needs may be
    on its way to a failure."""

    finding: Finding
    stage: int
    reason: str
    results: tuple[ComparisonResult, ...] = ()
    rising: bool = False
    harms: tuple[HarmResult, ...] = ()
    """Of an assurance: each harm of each variant."""
    exposed: int = 0
    """Of an assurance: requests to the new version so far."""
    mismatch: str = ""
    """In which way the traffic of this stage is not split as requested; empty: it is, as far as can be told."""
    waits: tuple[Wait, ...] = ()
    """What is missing, where comparisons lack data, or may be about to fail."""
    rows: tuple[DifferingRow, ...] = ()
    """Requests on which the versions differ most, where both were given the same ones."""
    failed: int = 0
    """Of an assurance with a budget of failures: requests that the new version failed so far."""
    room: float | None = None
    """Of an assurance that chooses stages: the largest expected number of requests to the new version in the next
    one with which its budgets are kept."""
    rate: float = 0.0
    """Requests per second to both versions in this stage, where an assurance chooses the next one."""

    @property
    def assured(self) -> bool:
        """Whether every harm that the assurance names is ruled out."""
        return bool(self.harms) and all(one.excluded for one in self.harms)

    @property
    def never(self) -> bool:
        """Whether waiting is of no use: no comparison that lacks data can ever be judged, and no other one is on its
        way to a failure."""
        lacking = [one for one in self.results if one.needed and one.finding is Finding.NO_DATA]
        hopeless = bool(lacking) and all(one.never for one in lacking)
        return self.finding is Finding.NO_DATA and not self.rising and hopeless


RULES = 4
"""Version of the rules by which a verdict follows from blocks. By those of version 1 a pass was the absence of a
failure; of pairs only what the new version failed was counted, and only the first number of an answer compared. By
those of version 2 predictions were compared second by second, and not request by request. Those of version 3 found
the same as the present ones, in other words."""
SAME_FINDINGS = 3
"""Version since which blocks have the same findings as today."""
PROVING = 2
"""Version since which a pass is a proof."""


@dataclass(frozen=True)
class Uncounted:
    """Requests to the new version that are in no block: a budget has them, and no test of a difference has.
    ``requests`` and ``failures``: of reports that came late, and of the block that is still open. ``running``:
    requests in progress. ``lost``: part of the rollout was not counted, and nobody knows what a budget has left.
    ``why``: what was lost, as the end of a sentence that begins with "because"."""

    requests: int = 0
    failures: int = 0
    running: int = 0
    lost: bool = False
    why: str = ""


ALL_COUNTED = Uncounted()


@dataclass(frozen=True)
class EvidenceRecord:
    """Everything that the verdict on a rollout follows from, so that anyone can recompute it."""

    endpoint: str
    rollout: str
    old_config: str
    new_config: str
    config: EvidenceConfig
    variants: tuple[str, ...]
    verdict: Verdict
    through: int
    """Epoch second up to which requests were counted (exclusive)."""
    blocks: dict[str, EvidenceBlock] = field(default_factory=dict)
    """By their begin, as text."""
    thresholds: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By test: the last thresholds for the old and the new version (microseconds, or the unit of a prediction)."""
    late: int = 0
    """Reports that came after their block was closed; they count as nothing."""
    unusable: tuple[int, int] = (0, 0)
    """Sampled answers of the old and of the new version without a finite number."""
    rules: int = 1
    """The RULES of the verdict."""
    replayed: dict[str, ReplayResult] = field(default_factory=dict)
    """By variant: the labelled rows that an assurance rests on."""
    uncounted: Uncounted = ALL_COUNTED


@dataclass(frozen=True)
class StoredEvidence:
    """A record as the store keeps it. Its blocks are JSON texts, so that what a block adds to the journal is found
    without a look into all others."""

    record: EvidenceRecord
    blocks: dict[str, str] = field(default_factory=dict)
