"""A cluster and tidegate's image for the tests of a session, where they can be had. ``make test-kubernetes`` makes
what they need; a test without it is skipped and says why."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes import image as images
from tests.kubernetes.cluster.harness import Cluster, why_not


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two real nodes, n1 and n2."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with Cluster(nodes=2) as running:
        yield running


@pytest.fixture(scope="session")
def image() -> Path:
    """The archive of tidegate's image of this checkout."""
    if (reason := images.why_not()) is not None:
        pytest.skip(reason)
    try:
        return images.build()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no image can be built here: {error}")


@pytest.fixture(scope="session")
def loaded_image(cluster: Cluster, image: Path) -> str:
    """The name of tidegate's image, which every node has."""
    cluster.load_image(image)
    return images.NAME


@pytest.fixture
def postgres_url(empty_postgres_url: str) -> str:
    """As an installation's first start finds it."""
    return empty_postgres_url
