"""Addresses of the captures of an endpoint, for commands that read them."""

from collections.abc import Mapping

from tidegate.cli.output import client
from tidegate.settings import Settings


def captured_at(endpoint: str) -> list[str]:
    """Return the addresses of an endpoint's captures, one for each variant, as the server reports them."""
    with client() as server:
        found = server.captures(endpoint, 60)["captures"]
    return sorted({f"{one['destination'].rstrip('/')}/{endpoint}/{one['variant']}/" for one in found})


def s3_of(environment: Mapping[str, str]) -> tuple[str, str]:
    """Endpoint and region of the S3."""
    settings = Settings.from_environment(environment)
    return settings.s3_endpoint, settings.region
