"""Where the captures of an endpoint are, for commands that read them."""

from collections.abc import Mapping

from tidegate.cli.output import client
from tidegate.settings import Settings


def captured_at(endpoint: str) -> list[str]:
    """What the server says of it."""
    with client() as server:
        found = server.captures(endpoint, 60)["captures"]
    return sorted({f"{one['destination'].rstrip('/')}/{endpoint}/{one['variant']}/" for one in found})


def s3_of(environment: Mapping[str, str]) -> tuple[str, str]:
    """Endpoint and region of the S3."""
    settings = Settings.from_environment(environment)
    return settings.s3_endpoint, settings.region
