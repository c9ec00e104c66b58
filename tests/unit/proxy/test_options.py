"""What HAProxy is told follows from what the machine allows."""

import resource

import pytest

from tidegate.proxy.options import MAX_CONNECTIONS, most_connections


@pytest.mark.parametrize(("files", "replicas"), [(4_096, 500), (20_000, 3_000), (65_536, 10_000)])
def test_clients_leave_files_for_the_checks_of_many_replicas(files: int, replicas: int) -> None:
    assert 0 < 2 * most_connections(files) + replicas + 200 <= files


def test_there_is_a_limit_where_the_machine_has_none() -> None:
    assert most_connections(resource.RLIM_INFINITY) == most_connections(1_000_000) == MAX_CONNECTIONS
