"""The environment variables of the processes that a server starts, and the file with the AWS credentials that they
need."""

import os
from pathlib import Path

from tidegate.auth.child_environment import AWS_SECRETS, remove_secrets
from tidegate.host import aws_credentials


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
