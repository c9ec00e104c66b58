"""What contract tests of the database share."""

from collections.abc import Iterator

import pytest

from tidegate.store.database import Database, open_database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url, serial=False)
    yield opened
    opened.shut()
