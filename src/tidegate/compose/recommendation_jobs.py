"""Recommendation jobs on this machine: their engine, and what each one's process is started with."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from tidegate.advisor.recommend.jobs import JobFile
from tidegate.compose.containers import file_roots
from tidegate.compose.environments import child_environment
from tidegate.domain.recommendation import RecommendationJob
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store
from tidegate.reconcile.recommendations import Recommendations
from tidegate.settings import Settings
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.recommenders import LocalRecommenders


@dataclass(frozen=True)
class Recommending:
    engine: Recommendations
    runners: LocalRecommenders

    async def end(self, drain: bool) -> None:
        await self.engine.stop()
        if drain:
            await self.runners.end_all()


def join_recommending(
    settings: Settings, store: Store, clock: Clock, folders: Folders, news: Callable[[], None]
) -> Recommending:
    """Nothing runs yet."""
    root = folders.state / "recommendations"
    environment = child_environment(folders.state)
    runners = LocalRecommenders(root, folders.installation, environment, lambda job: job_file(settings, job))
    return Recommending(Recommendations(store, runners, clock, news), runners)


def job_file(settings: Settings, job: RecommendationJob) -> bytes:
    """What a job's process is started with."""
    return msgspec.json.encode(
        JobFile(
            job=job,
            environment=server_environment(settings),
            file_roots=file_roots(settings),
            s3_endpoint=settings.s3_endpoint,
            region=settings.region,
            prices="" if settings.prices is None else str(settings.prices.expanduser().absolute()),
        )
    )


def server_environment(settings: Settings) -> dict[str, str]:
    """The server that is loaded listens on loopback alone, and may do with the model what this one may."""
    images = "" if settings.images is None else str(settings.images.expanduser().absolute())
    return {
        "TIDEGATE_HOST": "127.0.0.1",
        "TIDEGATE_REGION": settings.region,
        "TIDEGATE_ACCOUNT": settings.account,
        "TIDEGATE_HAPROXY": settings.haproxy,
        "TIDEGATE_S3_ENDPOINT": settings.s3_endpoint,
        "TIDEGATE_IMAGES": images,
        "TIDEGATE_TRUST": ",".join(sorted(settings.trust)),
        "TIDEGATE_MEMORY_LIMIT": str(settings.memory_limit),
    }
