"""Settings with which the process of a recommendation job is started, and the loop of these jobs."""

from functools import partial

import msgspec

from tidegate.compose.background import Services
from tidegate.compose.environments import server_environment
from tidegate.domain.recommendation import RecommendationJob
from tidegate.features.recommender.loop import Recommendations
from tidegate.host.late_import import load
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots


def make_jobs(services: Services) -> Recommendations:
    describe = partial(_recommendation_file, services.settings)
    recommenders = services.provider.recommenders
    return Recommendations(services.store, recommenders, services.clock, services.written, describe)


def _recommendation_file(settings: Settings, job: RecommendationJob) -> bytes:
    job_file = load("tidegate.features.recommender.jobs", "RecommendationJobFile")
    return msgspec.json.encode(
        job_file(
            job=job,
            environment=server_environment(settings),
            file_roots=file_roots(settings),
            s3_endpoint=settings.s3_endpoint,
            region=settings.region,
            prices="" if settings.prices is None else str(settings.prices.expanduser().absolute()),
        )
    )
