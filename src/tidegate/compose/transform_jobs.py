"""Jobs on this machine: the engine of transform jobs, joined with the target that runs their fleets, and that of
recommendation jobs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from tidegate.batch.job_file import JobFile
from tidegate.compose.containers import file_roots
from tidegate.compose.environments import child_environment
from tidegate.compose.recommendation_jobs import Recommending, join_recommending
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.transform import TransformJob, TransformProgress
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store
from tidegate.reconcile.transforms import Transforms
from tidegate.service import recommendations
from tidegate.service.transforms import PREFIX
from tidegate.serving.contract import images
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.runners import LocalRunners
from tidegate.targets.local.target import LocalTarget


@dataclass(frozen=True)
class Jobs:
    engine: Transforms
    runners: LocalRunners
    recommending: Recommending

    def progress(self, name: str) -> TransformProgress | None:
        """What the runner has done by now, and what the job waits for."""
        found, trouble = self.runners.progress(name), self.engine.trouble.get(name)
        return replace(found or TransformProgress(), waiting=trouble) if trouble else found

    async def start(self) -> None:
        await self.engine.start()
        await self.recommending.engine.start()

    def kick(self, owner: str, otherwise: Callable[[str], None]) -> None:
        """Wakes the engine of a job, or of an endpoint."""
        if owner.startswith(PREFIX):
            self.engine.kick(owner.removeprefix(PREFIX))
        elif owner.startswith(recommendations.PREFIX):
            self.recommending.engine.kick()
        else:
            otherwise(owner)

    async def end(self, drain: bool) -> None:
        await self.engine.stop()
        if drain:
            await self.runners.end_all()
        else:
            self.runners.let_go()
        await self.recommending.end(drain)


def join_jobs(
    settings: Settings,
    store: Store,
    clock: Clock,
    target: LocalTarget,
    folders: Folders,
    table: ImageTable,
    news: Callable[[], None],
) -> Jobs:
    """Nothing runs yet."""
    runners = LocalRunners(
        folders,
        child_environment(folders.state),
        lambda job, fleet: job_file(settings, folders, table, job, fleet),
        lambda name: engine.kick(name),
    )
    engine = Transforms(store, target, runners, clock, news)
    return Jobs(engine, runners, join_recommending(settings, store, clock, folders, news))


def job_file(
    settings: Settings, folders: Folders, table: ImageTable, job: TransformJob, fleet: FleetSpec
) -> bytes:
    """What a job's runner is started with."""
    kinds = [images.resolve(container.image, table).kind for container in fleet.variant.model.containers]
    return msgspec.json.encode(
        JobFile(
            job=job,
            replicas=str(folders.fleet(fleet.id) / "replicas"),
            built_in=RuntimeKind.PROGRAM not in kinds,
            file_roots=file_roots(settings),
            s3_endpoint=settings.s3_endpoint,
            region=settings.region,
        )
    )
