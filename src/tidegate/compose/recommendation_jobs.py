"""What the process of a recommendation job is started with."""

import msgspec

from tidegate.domain.recommendation import RecommendationJob
from tidegate.host.late_import import load
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots


def recommendation_file(settings: Settings, job: RecommendationJob) -> bytes:
    job_file = load("tidegate.advisor.recommend.jobs", "RecommendationJobFile")
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


def server_environment(settings: Settings) -> dict[str, str]:
    """The server under test listens on loopback alone, and may do with the model what this one may."""
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
        # It asks nobody who they are and nothing stands in front, whatever this server's own environment says.
        **dict.fromkeys(("TIDEGATE_ACCESS_KEYS", "TIDEGATE_KEY_ROLES", "TIDEGATE_OIDC_ISSUER"), ""),
        **dict.fromkeys(("TIDEGATE_PUBLIC_URL", "TIDEGATE_TRUSTED_PROXIES"), ""),
    }
