"""The loop of transform jobs, joined, and what the runner of one is started with."""

from functools import partial
from pathlib import Path

import msgspec

from tidegate.compose.background import Services
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.transform import TransformJob
from tidegate.features.batch.loop import Transforms
from tidegate.features.batch.runner.job_file import JobFile
from tidegate.serving.contract import images
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots


def make_jobs(services: Services) -> Transforms:
    provider, describe = services.provider, partial(transform_file, services.settings, services.images)
    return Transforms(
        *(services.store, provider.fleets, provider.runners, services.clock, services.written, describe)
    )


def transform_file(
    settings: Settings, table: ImageTable, job: TransformJob, fleet: FleetSpec, replicas: Path
) -> bytes:
    kinds = [images.resolve_container(container, table).kind for container in fleet.variant.model.containers]
    return msgspec.json.encode(
        JobFile(
            job=job,
            replicas=str(replicas),
            built_in=not any(kind.descriptor.outside for kind in kinds),
            file_roots=file_roots(settings),
            s3_endpoint=settings.s3_endpoint,
            region=settings.region,
        )
    )
