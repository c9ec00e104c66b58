"""The wire served to real clients, on each kind of database."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.served_wire import Served, serve


@pytest.fixture
def wire(database_url: str) -> Iterator[Served]:
    with serve(database_url) as served:
        yield served


@pytest.fixture
def sagemaker(wire: Served) -> Any:
    return wire.client("sagemaker")
