"""Jobs: their engines over what the target runs them with, and what the runner of a transform job is started with."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from tidegate.domain.fleet import FleetSpec
from tidegate.domain.transform import TransformJob, TransformProgress
from tidegate.features.batch.loop import Transforms
from tidegate.features.batch.runner.job_file import JobFile
from tidegate.features.batch.service import PREFIX
from tidegate.features.recommender import service as recommendations
from tidegate.features.recommender.loop import Recommendations
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store
from tidegate.ports.target import Provider
from tidegate.serving.contract import images
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots


@dataclass(frozen=True)
class Jobs:
    provider: Provider
    transforms: Transforms
    recommendations: Recommendations

    def progress(self, name: str) -> TransformProgress | None:
        """What the runner has done by now, and what the job waits for."""
        found, trouble = self.provider.runners.progress(name), self.transforms.trouble.get(name)
        return replace(found or TransformProgress(), waiting=trouble) if trouble else found

    async def start(self) -> None:
        await self.transforms.start()
        await self.recommendations.start()

    def kick(self, owner: str, kick_endpoint: Callable[[str], None]) -> None:
        """Wake the engine of a job, or of an endpoint."""
        if owner.startswith(PREFIX):
            self.transforms.kick(owner.removeprefix(PREFIX))
        elif owner.startswith(recommendations.PREFIX):
            self.recommendations.kick()
        else:
            kick_endpoint(owner)

    async def end(self, drain: bool) -> None:
        await self.transforms.stop()
        await self.provider.runners.end(drain)
        await self.recommendations.stop()
        await self.provider.recommenders.end(drain)


def join_jobs(store: Store, clock: Clock, provider: Provider, news: Callable[[], None]) -> Jobs:
    """Nothing runs yet."""
    return Jobs(
        provider,
        Transforms(store, provider.fleets, provider.runners, clock, news),
        Recommendations(store, provider.recommenders, clock, news),
    )


def transform_file(
    settings: Settings, table: ImageTable, job: TransformJob, fleet: FleetSpec, replicas: Path
) -> bytes:
    kinds = [images.resolve(container.image, table).kind for container in fleet.variant.model.containers]
    return msgspec.json.encode(
        JobFile(
            job=job,
            replicas=str(replicas),
            built_in=RuntimeKind.PROGRAM not in kinds,
            file_roots=file_roots(settings),
            s3_endpoint=settings.s3_endpoint,
            region=settings.region,
        )
    )
