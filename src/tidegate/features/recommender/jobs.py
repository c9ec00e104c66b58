"""A recommendation job in its process: the file it is started with, what it tries, and what it found.

In the file's folder lie ``progress.json`` (a ``ConfigurationTrial`` for each one so far), ``server`` (the state of
the server that is loaded) and at the end ``result.json`` (a ``RecommendationResult``).
"""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid, StartupError
from tidegate.domain.recommendation import ConfigurationTrial, RecommendationJob, RecommendedInstance
from tidegate.features.recommender import load_runs
from tidegate.features.recommender.configurations import (
    CandidateConfiguration,
    LoadProbe,
    Measure,
    MeasuredConfiguration,
    Objective,
    candidates,
)
from tidegate.features.recommender.estimates import SYSTEM, Offer, offers, workers
from tidegate.features.recommender.load_runs import LoadEnvironment
from tidegate.features.recommender.search import Effort, search
from tidegate.host.atomic_write import write_atomically
from tidegate.host.platform import Platform
from tidegate.load import open_loop
from tidegate.prices import Catalogue
from tidegate.serving.artifacts.fetch import ARCHIVES, Policy, materialise

START_RATE = 50.0
"""Requests a second where looking begins."""
MOST_FOUND = 10
"""Recommendations of a job, as in SageMaker."""
TYPES = {**open_loop.TYPES, ".json": "application/json", ".libsvm": "text/libsvm"}


@dataclass(frozen=True, kw_only=True)
class RecommendationJobFile:
    """``environment``: of the server that is loaded, over this process's own. ``prices``: folder of rows over the
    packaged ones, or empty."""

    job: RecommendationJob
    environment: dict[str, str] = field(default_factory=dict)
    file_roots: tuple[str, ...] | None = None
    s3_endpoint: str = ""
    region: str = "us-east-1"
    prices: str = ""


@dataclass(frozen=True)
class RecommendationResult:
    """``reason`` is empty for a job that is complete."""

    reason: str = ""
    found: tuple[RecommendedInstance, ...] = ()


def read(path: Path) -> RecommendationJobFile:
    """Raises StartupError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=prepare_type(RecommendationJobFile))
    except (OSError, msgspec.DecodeError) as error:
        raise StartupError(f"{path} cannot be read as a job: {error}") from None


def run(file: RecommendationJobFile, folder: Path, clock: Callable[[], float]) -> tuple[RecommendedInstance, ...]:
    """Run a job, which takes minutes. Raises a TidegateError for a job that cannot be done. ``clock``: seconds from
    any origin."""
    job, until = file.job, clock() + file.job.limits.seconds
    objective = Objective(job.limits.percent, job.limits.latency)
    shutil.rmtree(folder / "server", ignore_errors=True)
    sample = folder / "sample"
    materialise(job.sample, sample, Policy(file.file_roots, file.s3_endpoint, file.region))
    sent, kind = bodies(sample, job.sample.endswith(ARCHIVES), job.content_type)
    platform = Platform(folder / "server", environment=server_environment(file, folder))
    ground = LoadEnvironment(model_of(job), sent, kind, objective, platform)
    watched = RecordingMeasure(ground.measure, objective, lambda steps: _keep(folder / "progress.json", steps))
    with ground:
        trials = search(
            candidates(load_runs.cores())[: job.limits.tests],
            watched,
            objective,
            min(START_RATE, job.limits.rate or math.inf),
            Effort.within(job.limits.seconds),
            tell=lambda what: print(what, flush=True),
            late=lambda: clock() > until,
            most=job.limits.rate or math.inf,
        )
    catalogue = Catalogue.load(Path(file.prices) if file.prices else None)
    return recommended(trials[0], objective, load_runs.cores(), catalogue, file.region, job)


def keep_result(folder: Path, result: RecommendationResult) -> None:
    _keep(folder / "result.json", result)


def _keep(path: Path, document: object) -> None:
    write_atomically(path, msgspec.json.encode(document))


def model_of(job: RecommendationJob) -> dict[str, object]:
    """Return the job's model as a spec describes it."""
    (container,) = job.model.containers
    data = {} if container.data_url is None else {"data": container.data_url}
    return {"image": container.image, "environment": dict(container.environment), **data}


def server_environment(file: RecommendationJobFile, folder: Path) -> dict[str, str]:
    """Return the environment of a server that may read only the files that the server which accepted the job may
    read. A server on loopback would take an empty list of folders to mean any, so it gets a folder that does not
    exist."""
    roots = file.file_roots
    allowed = {} if roots is None else {"TIDEGATE_FILE_ROOTS": ":".join(roots) or str(folder / "nothing")}
    return {"TIDEGATE_DRAIN_TIMEOUT": "1", **file.environment, **allowed}


def bodies(folder: Path, archive: bool, content_type: str) -> tuple[list[bytes], str]:
    """Return the bodies to send, in random order (the same each time), and their content type. Each file of an
    archive is one body, as in SageMaker; each line of a plain table is one."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise Invalid("the sample has no files")
    if not archive and files[0].suffix in open_loop.TYPES:
        return open_loop.read_payloads(files[0], content_type or None)
    sent = [path.read_bytes() for path in files[: open_loop.MOST_PAYLOADS]]
    if not all(sent):
        raise Invalid("the sample has an empty file")
    Random(0).shuffle(sent)
    return sent, content_type or TYPES.get(files[0].suffix, "text/csv")


@dataclass
class RecordingMeasure:
    """A ``space.Measure`` that tells what each configuration has done so far."""

    measure: Measure
    objective: Objective
    tell: Callable[[list[ConfigurationTrial]], None]
    _steps: dict[CandidateConfiguration, ConfigurationTrial] = field(default_factory=dict)

    def __call__(self, candidate: CandidateConfiguration, rate: float, seconds: float) -> LoadProbe:
        if candidate not in self._steps:
            self._put(candidate, ConfigurationTrial(candidate.environment, candidate.instances))
        probe = self.measure(candidate, rate, seconds)
        before = self._steps[candidate]
        if self.objective.holds(probe) and probe.rate > before.rate:
            self._put(
                candidate,
                ConfigurationTrial(candidate.environment, candidate.instances, probe.rate, probe.latency),
            )
        elif before.rate == 0.0 and math.isfinite(probe.latency):
            nearest = min(probe.latency, probe.latency if before.latency is None else before.latency)
            self._put(candidate, ConfigurationTrial(candidate.environment, candidate.instances, 0.0, nearest))
        return probe

    def _put(self, candidate: CandidateConfiguration, step: ConfigurationTrial) -> None:
        self._steps[candidate] = step
        self.tell(list(self._steps.values()))


def recommended(
    best: MeasuredConfiguration,
    objective: Objective,
    cores: int,
    catalogue: Catalogue,
    region: str,
    job: RecommendationJob,
) -> tuple[RecommendedInstance, ...]:
    """Return recommendations for the best configuration, the lowest cost of a request first. Raises Invalid if there
    are none."""
    probe = best.best(objective)
    if probe is None:
        nearest = min(p.latency for p in best.probes)
        raise Invalid(f"no configuration answers with {objective}; the nearest was {nearest * 1000:.1f} ms")
    found = [
        offer
        for offer in offers(best.candidate, probe, cores, 1.0, catalogue, region)
        if (not job.types or offer.instance_type in job.types) and offer.rate >= 1 / 60
    ]
    if not found:
        among = ", ".join(job.types) or "those with a known price"
        raise Invalid(f"no instance type among {among} without an accelerator fits the model and has a price")
    found.sort(key=lambda offer: (offer.per_thousand, offer.hourly, offer.instance_type))
    return tuple(_make_recommendation(offer, best.candidate, probe, cores) for offer in found[:MOST_FOUND])


def _make_recommendation(
    offer: Offer, candidate: CandidateConfiguration, probe: LoadProbe, cores: int
) -> RecommendedInstance:
    used = SYSTEM + workers(offer.vcpus, candidate, cores) * probe.memory
    return RecommendedInstance(
        offer.instance_type,
        offer.hourly,
        math.floor(offer.rate * 60 + 1e-9),
        probe.latency,
        round(probe.busy * 100, 2),
        round(100 * used / (offer.memory_gib * 2**30), 2),
        candidate.environment,
    )
