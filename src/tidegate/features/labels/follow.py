"""Follows the endpoints that have labels: reads new captures, joins, measures, and publishes metrics.

Each turn does a slice of what there is, in a thread, so that neither answers nor guards wait for it. What was read is
on disk, so a controller that comes anew goes on where the last one ended."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import ArtifactError, TidegateError
from tidegate.domain.history import History, VersionOutcome
from tidegate.domain.metric import LABELS, MetricId, Sample
from tidegate.domain.rollout import Version
from tidegate.features.labels.lanes import Lanes, call_aside
from tidegate.features.labels.ledger import SKEW, AnsweringVersion, SideBySide
from tidegate.features.labels.report import QualityQuestion, entries
from tidegate.features.labels.store import SUFFIX, LabelStore, Lives, find_lives
from tidegate.monitoring import sketch
from tidegate.ports.clock import Clock
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store, Tx
from tidegate.rows.capture_paths import is_captured
from tidegate.rows.label_lines import LineProblem, read_prediction
from tidegate.rows.sources import LineFile, list_files
from tidegate.service import history
from tidegate.service.record_kinds import ENDPOINT

log = logging.getLogger(__name__)

SLICE = 0.5
"""Seconds of one turn in which files are read."""
RECENT_HOURS = 3
"""Hours whose folders are looked into each turn; all are once in ``ALL_EVERY`` seconds, for what came late."""
ALL_EVERY = 600.0
PUBLISH_EVERY = 60.0
"""Seconds after which the same values are published again, so that alarms have data."""
REST = 20.0
"""A measurement that took a second is not made again within so many."""
MOST_AGE = 400 * 86_400.0
"""Seconds for which predictions are kept, with their labels."""
UNKNOWN_AGE = 30 * 86_400.0
"""Seconds for which a label waits for the capture that has its prediction."""
BEHIND = 300.0
"""Seconds for which there may be captures that were not read; then what was measured without them is out of date."""
MEASURES = {
    "auc": "AUC",
    "average_precision": "AveragePrecision",
    "precision_top": "PrecisionTop",
    "calibration_error": "CalibrationError",
    "accuracy": "Accuracy",
    "mean_absolute_error": "MeanAbsoluteError",
    "bias": "Bias",
    "approval": "Approval",
}
DELAY, COVERAGE, LABELLED, EVIDENCE = "LabelDelay", "LabelCoverage", "Labelled", "LabelEvidence"
"""Median in seconds; percent of the predictions; labels that count; how close a version is to having lost more than
the tolerance (1 or more: it has)."""
FEWEST = 100
"""Labels, of each class where there are two, from which measures are published: an alarm must not go off by fewer."""


@dataclass(frozen=True)
class FollowedEndpoint:
    """``captured``: address of each variant's captures; ``compared``: versions that are compared; ``lives``: when
    each config began to answer; ``columns``: of requests, by whose values predictions are measured by themselves."""

    captured: tuple[str, ...]
    compared: tuple[SideBySide, ...]
    lives: Lives
    columns: tuple[str, ...] = ()


@dataclass
class _Progress:
    listed_all: float = -ALL_EVERY
    """When all files were listed, on the monotonic clock; so are the next two."""
    rests_until: float = 0.0
    published: float = -PUBLISH_EVERY
    pending: bool = True
    """Whether something is to be measured: at the start it is not known whether nothing is."""
    unread: list[LineFile] = field(default_factory=list)
    measured: tuple[tuple[SideBySide, ...], Lives] | None = None
    """What was compared, and the lives, when it was measured last."""
    behind_since: float | None = None
    """Since when there have been captures that were not read, on the monotonic clock."""


@dataclass
class LabelFollower:
    """``folder``: of the stores; ``s3``: endpoint and region."""

    folder: Path
    store: Store
    metrics: Metrics
    clock: Clock
    s3: tuple[str, str]
    elapsed: Callable[[], float]
    """Seconds on a clock that never steps."""
    _progress: dict[str, _Progress] = field(default_factory=dict)
    _troubles: dict[str, str] = field(default_factory=dict)
    _lanes: Lanes = field(init=False)

    def __post_init__(self) -> None:
        self._lanes = Lanes(self.elapsed)

    async def turn(self) -> None:
        """One round over all endpoints with labels but those that an earlier one still waits for; what fails for one
        is logged once, and tried again."""
        names = await asyncio.to_thread(self._names)
        try:
            await self._lanes.turn(names, self._try)
        except asyncio.CancelledError:
            self._lanes.stop()
            raise

    async def _try(self, name: str) -> bool:
        try:
            await self._follow(name)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            if self._troubles.get(name) != why:
                known = isinstance(error, TidegateError)
                log.warning("labels of endpoint %s: %s", name, why, exc_info=None if known else error)
            self._troubles[name] = why
            return False
        self._troubles.pop(name, None)
        return True

    def _names(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob(f"*{SUFFIX}"))

    async def _follow(self, name: str) -> None:
        labels, now = LabelStore(self.folder, name), self.clock.now()
        found = await self.store.read(lambda tx: find_followed(tx, name))
        if found is None:  # the endpoint was removed
            self._progress.pop(name, None)
            self._lanes.forget(name)
            await asyncio.to_thread(labels.remove)
            return
        progress = self._progress.setdefault(name, _Progress())
        samples = await call_aside(lambda: self._work(name, labels, found, progress, now))
        if samples:
            await self.metrics.put(samples)

    def _work(
        self, name: str, labels: LabelStore, found: FollowedEndpoint, progress: _Progress, now: datetime
    ) -> list[Sample]:
        """Off the event loop. Returns what is to be published."""
        began = self.elapsed()
        self._read(labels, found, progress, now)
        asked = found.compared, found.lives
        progress.pending = labels.take_changed() or progress.pending or progress.measured != asked
        document = None
        if progress.pending and not progress.unread and self.elapsed() >= progress.rests_until:
            began = self.elapsed()
            document = labels.describe(QualityQuestion(), now.timestamp(), found.compared, found.lives)
            progress.pending, progress.measured = False, asked
            progress.rests_until = self.elapsed() + REST * (self.elapsed() - began)
        elif began - progress.published >= PUBLISH_EVERY:
            document = labels.document()
        if document is None:
            return []
        progress.published = began
        since = progress.behind_since
        chosen = label_samples if since is None or self.elapsed() - since <= BEHIND else _bad_samples
        present = {(one.old.config, one.new.config, one.new.variant, one.since) for one in found.compared}
        shown = {
            "versions": [one for one in document["versions"] if _is_present(one, found.lives)],
            "comparisons": [one for one in document["comparisons"] if _names(one) in present],
        }
        return chosen(name, document | shown, int(now.timestamp()) - 1)

    def _read(self, labels: LabelStore, found: FollowedEndpoint, progress: _Progress, now: datetime) -> None:
        """Read some files of captures that were not read yet."""
        began = self.elapsed()
        if not progress.unread:
            whole = began - progress.listed_all >= ALL_EVERY
            listed = {one.path: one for one in self._list(found, None if whole else now)}
            progress.unread = [listed[path] for path in labels.unread(sorted(listed))]
            if whole:
                progress.listed_all = began
                read_all = not progress.unread  # until then it is not known which labels are of unknown ids
                waited = now.timestamp() - UNKNOWN_AGE if read_all else None
                labels.forget_old(now.timestamp() - MOST_AGE, waited)
        terms = labels.terms()
        while progress.unread and self.elapsed() - began < SLICE:
            file, skipped = progress.unread.pop(0), Counter[LineProblem]()
            read = (
                read_prediction(line, terms.where, file.path, terms.scored, found.columns) for line in file.lines()
            )
            try:
                labels.add_file(file.path, entries(read, skipped))
            except ArtifactError:  # removed since it was listed, or unreadable: it is listed again if it is there
                skipped = Counter({LineProblem.NO_FILE: 1})
            labels.note_skipped(skipped)
        if not progress.unread:
            progress.behind_since = None
        elif progress.behind_since is None:
            progress.behind_since = began

    def _list(self, found: FollowedEndpoint, now: datetime | None) -> Iterator[LineFile]:
        """Files of captures: of the last hours, or all of them where ``now`` is None."""
        for address in found.captured:
            hours = [""] if now is None else [_hour(now, back) for back in range(RECENT_HOURS)]
            for hour in hours:
                for file in list_files(address + hour, self.s3):
                    if is_captured("/".join(file.path.split("/")[-5:])):
                        yield file


def _names(comparison: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(comparison.get(name) for name in ("old", "new", "variant", "since"))


def _is_present(version: Mapping[str, Any], lives: Lives) -> bool:
    """Whether it was measured in the life in which its config is now: an alarm must not go off by what that answered
    when it served before."""
    began = lives.get(version["config"], ())
    return bool(began) and version.get("since") == began[-1] - SKEW


def _hour(now: datetime, back: int) -> str:
    return f"{now.astimezone(UTC) - timedelta(hours=back):%Y/%m/%d/%H}/"


def find_followed(tx: Tx, name: str) -> FollowedEndpoint | None:
    """None for an endpoint that is gone."""
    saved = tx.get(ENDPOINT, name)
    if saved is None:
        return None
    versions = _versions(saved.body)
    captured = {
        f"{variant.capture.destination.rstrip('/')}/{name}/{variant.name}/"
        for version in versions
        for variant in version.production
        if variant.capture is not None
    }
    past = history.read(tx, name)
    compared = tuple(_compared(saved.body, past))
    return FollowedEndpoint(tuple(sorted(captured)), compared, find_lives(past), _sliced_columns(saved.body))


def _sliced_columns(endpoint: Endpoint) -> tuple[str, ...]:
    """Those by which predictions, or labelled rows, of the rollout under way or of the last one are compared."""
    rollout = endpoint.rollout
    deployment = endpoint.deployment if rollout is None else rollout.deployment
    evidence = None if deployment is None else deployment.evidence
    if evidence is None:
        return ()
    by = () if evidence.replay is None or not evidence.replay.by else (evidence.replay.by,)
    return tuple(dict.fromkeys((*evidence.slices, *by)))


def _versions(endpoint: Endpoint) -> list[Version]:
    rollout = endpoint.rollout
    under_way = [] if rollout is None else [rollout.new, *([rollout.old] if rollout.old else [])]
    return under_way + ([endpoint.serving] if endpoint.serving is not None else [])


def _compared(endpoint: Endpoint, past: History) -> Iterator[SideBySide]:
    """Variants of the versions of a rollout under way, or of the last one: a version that was rolled back, too."""
    rollout, until = endpoint.rollout, float("inf")
    if rollout is not None and rollout.old is not None:
        old, new, since = rollout.old, rollout.new, rollout.started_at.timestamp()
    else:
        served = [one for one in past.begun if one.served_at is not None or one.outcome is VersionOutcome.SERVING]
        last = past.begun[-1:]
        if len(served) >= 2 and served[-1] in last:
            old, new = served[-2].version, served[-1].version
            ended = served[-1].served_at
        elif served and last and served[-1] not in last:  # it was rolled back
            old, new = served[-1].version, last[0].version
            ended = last[0].ended_at
        else:
            return
        since = last[0].began_at.timestamp()
        until = until if ended is None else ended.timestamp()
    names = {one.name for one in old.production}
    for variant in new.production:
        if variant.name in names and old.config_name != new.config_name:
            sides = [AnsweringVersion(one.config_name, variant.name) for one in (old, new)]
            yield SideBySide(sides[0], sides[1], since, until)


def label_samples(endpoint: str, found: Mapping[str, Any], second: int) -> list[Sample]:
    """One value for each measure of each version that captures name."""
    samples = [
        _sample(endpoint, one["config"], one["variant"], name, value, second)
        for one in found["versions"]
        if one["config"]
        for name, value in _values(one)
    ]
    return samples + [
        _sample(endpoint, one["new"], one["variant"], EVIDENCE, one["evidence"], second)
        for one in found["comparisons"]
        if min(one["old_compared"], one["new_compared"])
    ]


def _bad_samples(endpoint: str, found: Mapping[str, Any], second: int) -> list[Sample]:
    """Return the samples of outdated measures that still hold: a version that is certainly worse stays worse. Good
    results may no longer hold, and are not published."""
    bad = [one for one in found["comparisons"] if one["evidence"] >= 1]
    return label_samples(endpoint, {"versions": [], "comparisons": bad}, second)


def _values(version: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    coverage, quality, delay = version["coverage"], version["quality"] or {}, version["delay_seconds"]
    if not coverage["labelled"]:
        return
    yield LABELLED, float(coverage["labelled"])
    yield COVERAGE, 100 * coverage["share"]
    if delay is not None:
        yield DELAY, delay["p50"]
    if _has_enough(quality):
        for measure, name in MEASURES.items():
            if quality.get(measure) is not None:
                yield name, quality[measure]


def _has_enough(quality: Mapping[str, Any]) -> bool:
    pairs = quality.get("pairs", 0)
    positives = quality.get("positives")
    return bool(pairs >= FEWEST if positives is None else min(positives, pairs - positives) >= FEWEST)


def _sample(endpoint: str, config: str, variant: str, name: str, value: float, second: int) -> Sample:
    named = {"EndpointName": endpoint, "VariantName": variant, "EndpointConfigName": config}
    unit = {DELAY: "Seconds", COVERAGE: "Percent", LABELLED: "Count"}.get(name, "None")
    metric = MetricId.of(LABELS, name, named)
    return Sample(metric, second, 1.0, value, value, value, {sketch.index(value): 1.0}, unit)
