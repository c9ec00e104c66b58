"""A cluster for the tests of a session, where one can run. ``make test-kubernetes`` makes what it needs."""

from collections.abc import Iterator

import pytest

from tests.kubernetes.cluster.harness import Cluster, why_not


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two real nodes, n1 and n2."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with Cluster(nodes=2) as running:
        yield running
