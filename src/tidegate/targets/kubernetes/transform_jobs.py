"""Transform jobs as Kubernetes Jobs: a ``ports.runners.Runners``, and the ``Fleets`` of jobs.

What a job has done is in the database, where its pods lease its shards; the cluster only says whether pods run. So a
job goes on while the controller is away, and a controller that comes anew just looks.
"""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.domain.errors import TargetRefused, TidegateError, Transient
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import FleetStatus
from tidegate.domain.transform import FLEET_PREFIX, TransformJob, TransformProgress, job_fleet
from tidegate.ports.runners import Describe, RunnerState
from tidegate.ports.shards import ShardBoard
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.kubernetes.api import KubeApi
from tidegate.targets.kubernetes.job_manifests import job_manifests
from tidegate.targets.kubernetes.job_start import check_job, runner_start, worker_start
from tidegate.targets.kubernetes.model_store import ModelStore
from tidegate.targets.kubernetes.names import (
    JOB,
    TRANSFORM,
    Manifest,
    is_ours,
    selector,
    transform_labels,
    transform_name,
)
from tidegate.targets.kubernetes.options import JobOptions, KubernetesOptions
from tidegate.targets.kubernetes.pods import ProblemHistory, StartProblem, problems, worker_pod
from tidegate.transform.shards import outcome, progress

log = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds for which a look at a job's objects in the cluster, and at its shards, is used again."""
KEEP_FOR = 7 * 86_400.0
"""Seconds for which it is known what a job that failed or was stopped has done."""


@dataclass
class _JobView:
    """A job as it was seen last. ``status`` is None if nothing of it is left in the cluster."""

    at: float
    seen: RunnerState
    status: FleetStatus | None


@dataclass
class KubernetesTransforms:
    """``board`` is None where the database is not PostgreSQL."""

    api: KubeApi
    board: ShardBoard | None
    settings: Settings
    images: ImageTable
    options: KubernetesOptions
    model_store: ModelStore
    _views: dict[str, _JobView] = field(default_factory=dict)
    _history: dict[str, ProblemHistory] = field(default_factory=dict)
    _placed: dict[str, FleetSpec] = field(default_factory=dict)
    """Fleets with the model data that their pods read: all of a job's read the same."""
    _stopping: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)

    async def start(self, job: TransformJob, fleet: FleetSpec, describe: Describe) -> None:
        """Pods get a part of what a runner of this machine would be started with. Raises TargetRefused, Transient."""
        board, jobs = self._usable()
        check_job(job, fleet, self.options)
        await self._check_secret(jobs)
        if (stopping := self._stopping.get(job.name)) is not None:
            await stopping  # of an earlier attempt
        live = await self.api.get("Job", transform_name(job.name))
        if live is not None:
            if not is_ours(live, self.options.installation):
                raise TargetRefused(
                    f"Job {transform_name(job.name)} in namespace {self.api.namespace} is not this tidegate's: it is "
                    "left alone; delete it, or choose another installation or namespace"
                )
            if not _is_running(live):
                await self._delete(job.name)
                raise Transient(f"the pods of transform job {job.name} have ended; others are started")
        fleet = await self.model_store.place(fleet, self._placed.get(job.name))
        self._placed[job.name] = fleet
        await board.open(job.name, job.resumed)
        worker = worker_start(fleet, self.settings, self.images, self.options)
        runner = runner_start(describe(Path("/")), self.settings, self.options)
        for manifest in job_manifests(job, fleet, worker, runner, self.settings, self.options, jobs):
            await self.api.apply(manifest)
        self._views.pop(job.name, None)

    def _usable(self) -> tuple[ShardBoard, JobOptions]:
        if self.board is None:
            raise TargetRefused(
                "transform jobs on Kubernetes share their work by PostgreSQL: set TIDEGATE_DATABASE_URL"
            )
        if self.options.jobs is None:
            raise TargetRefused(
                "transform jobs on Kubernetes need the option jobs.database_secret of the target: a Secret with the "
                "database's URL for a role of their own"
            )
        return self.board, self.options.jobs

    async def _check_secret(self, jobs: JobOptions) -> None:
        """Pods that lack it would wait for it without a word."""
        secret = await self.api.get("Secret", jobs.database_secret)
        if secret is None or jobs.database_key not in (secret.get("data") or {}):
            raise TargetRefused(
                f"Secret {jobs.database_secret} in namespace {self.api.namespace} has no {jobs.database_key!r}: make "
                "it (option jobs.database_secret of the target kubernetes)"
            )

    async def look(self, job: TransformJob) -> RunnerState:
        """Observe the runner of a job. Raises Transient, Unavailable."""
        now, known = asyncio.get_running_loop().time(), self._views.get(job.name)
        if known is not None and now - known.at < LOOK:
            return known.seen
        tally = None if self.board is None else await self.board.tally(job.name)
        live, status = await self._see(job.name, now)
        seen = RunnerState(
            alive=live,
            progress=TransformProgress() if tally is None else progress(tally),
            reason=None if tally is None else outcome(tally, job.resumed),
        )
        self._views[job.name] = _JobView(now, seen, status)
        return seen

    async def _see(self, job: str, now: float) -> tuple[bool, FleetStatus | None]:
        """Whether its pods run, or will, and how they are."""
        labels = _labels(self.options.installation, job)
        live, found = await asyncio.gather(self.api.get("Job", transform_name(job)), self.api.find("Pod", labels))
        if live is None or not is_ours(live, self.options.installation):
            self._history.pop(job, None)
            return False, None
        pods = [worker_pod(pod, self.options) for pod in found]
        troubles = problems(pods, {}, self.options)
        if not pods and _is_running(live):  # such as for a quota: only events say so
            words = f"the cluster makes no pods for it: kubectl describe job {transform_name(job)} says why"
            troubles = [StartProblem("create", words, self.options.scheduling_patience)]
        history = self._history[job] = self._history.get(job, ProblemHistory()).after(troubles, now)
        ready = sum(pod.ready and not pod.leaving for pod in pods)
        present = sum(not pod.ended for pod in pods)
        leaving = sum(pod.leaving and not pod.ended for pod in pods)
        return _is_running(live), FleetStatus(
            id=job_fleet(job),
            desired=int(live["spec"].get("parallelism") or 0),
            ready=ready,
            starting=present - leaving - ready,
            draining=leaving,
            failure=history.failure(troubles, now),
        )

    def progress(self, name: str) -> TransformProgress | None:
        view = self._views.get(name)
        return None if view is None else view.seen.progress

    def stop(self, name: str) -> None:
        """Stop a job in a task. Its pods give back what they have leased; what they report later is dropped."""
        if name not in self._stopping:
            self._stopping[name] = asyncio.create_task(self._stop(name))

    async def _stop(self, name: str) -> None:
        try:
            if self.board is not None:
                await self.board.revoke(name)
            await self._delete(name)
            self._views.pop(name, None)
        except TidegateError as error:
            log.warning("transform job %s cannot be stopped yet: %s", name, error)
        finally:
            del self._stopping[name]

    async def _delete(self, name: str) -> None:
        live = await self.api.get("Job", transform_name(name))
        if live is not None and not is_ours(live, self.options.installation):
            return
        if live is not None and "deletionTimestamp" not in live["metadata"]:
            await self.api.delete("Job", transform_name(name))
        for secret in await self.api.find("Secret", _labels(self.options.installation, name)):
            await self.api.delete("Secret", secret["metadata"]["name"])

    async def discard(self, name: str) -> None:
        if self.board is not None:
            await self.board.discard(name)
        self._forget(name)

    async def keep(self, name: str) -> None:
        """Forget the state of a job whose work stays in the database for a while."""
        self._forget(name)

    def _forget(self, name: str) -> None:
        for known in (self._views, self._history, self._placed):
            known.pop(name, None)

    async def prune(self, active: Collection[str]) -> None:
        """End pods of jobs that are over or have no record, and forget what old ones have done."""
        for live in await self.api.find("Job", selector(self.options.installation, TRANSFORM)):
            name = live["metadata"]["labels"].get(JOB, "")
            if name and name not in active:
                log.warning("transform job %s is over and has pods; ending them", name)
                await self._delete(name)
        for name in () if self.board is None else await self.board.prune(active, KEEP_FOR):
            log.info("the work of transform job %s is not kept any longer", name)

    async def end(self, drain: bool) -> None:
        """Wait until jobs that are being stopped have stopped. Running jobs continue, as the controller may only be
        replaced."""
        await asyncio.gather(*self._stopping.values(), return_exceptions=True)

    # --- the Fleets of jobs: runner and workers share their pods ---

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        """``start`` makes its pods."""

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None:
        name = fleet.endpoint.removeprefix(FLEET_PREFIX)
        await self._delete(name)
        _, status = await self._see(name, asyncio.get_running_loop().time())
        if (view := self._views.get(name)) is not None:
            view.status = status

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        view = self._views.get(fleet.endpoint.removeprefix(FLEET_PREFIX))
        return None if view is None else view.status


def _labels(installation: str, job: str) -> str:
    return ",".join(f"{key}={value}" for key, value in transform_labels(installation, job).items())


def _is_running(job: Manifest) -> bool:
    """Whether the cluster keeps pods for it."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    ended = any(one.get("type") in ("Complete", "Failed") and one.get("status") == "True" for one in conditions)
    return not ended and "deletionTimestamp" not in job["metadata"]
