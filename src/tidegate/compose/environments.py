"""The environment variables of the processes that a server starts, and the file with the AWS credentials that they
need."""

import os
from pathlib import Path

from tidegate.auth.child_environment import AWS_SECRETS, remove_secrets
from tidegate.host import aws_credentials
from tidegate.settings import Settings


def write_aws_keys(state: Path) -> None:
    """Once, before any process is started. Raises OSError."""
    aws_credentials.write(
        _aws_keys(state), {name: os.environ[name] for name in AWS_SECRETS if os.environ.get(name)}
    )


def child_environment(state: Path) -> dict[str, str]:
    """The environment of a process that may call S3 or SNS."""
    environment, path = remove_secrets(os.environ), _aws_keys(state)
    if path.exists():
        environment[aws_credentials.FILE_VARIABLE] = str(path)
    return environment


def plain_environment() -> dict[str, str]:
    """The environment of any other process."""
    return remove_secrets(os.environ)


def _aws_keys(state: Path) -> Path:
    return state / "aws-keys.json"


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
