"""Fixtures for tests that touch a database: each such test runs on SQLite and on PostgreSQL.

``database_url`` is a fresh, empty database of each; ``postgres_url`` one of PostgreSQL alone. The server is a
private one, started from the system's package on first use, reached by a unix socket only, gone at the end of the
session. Its databases sort text the way people do, so a test notices when the code relies on the order of bytes.
"""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tidegate.testing import postgres_server as servers

SKIP = "TIDEGATE_TEST_POSTGRES=0: tests on PostgreSQL are skipped"
_NUMBERS = count(1)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tidegate.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def postgres_url(postgres_folder: Path) -> Iterator[str]:
    """A fresh, empty PostgreSQL database."""
    name = f"test_{next(_NUMBERS)}"
    servers.administer(
        postgres_folder, f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
    )
    yield servers.database_url(postgres_folder, name)
    servers.administer(postgres_folder, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """The folder that holds the socket of a running server."""
    if os.environ.get("TIDEGATE_TEST_POSTGRES") == "0":
        pytest.skip(SKIP)
    try:
        with servers.postgres_server(servers.FLEETING) as folder:
            yield folder
    except servers.NoServer as error:
        pytest.fail(f"{error} (or set TIDEGATE_TEST_POSTGRES=0 to skip its tests)")
