"""Fixtures for tests that touch a database: each such test runs on SQLite and on PostgreSQL.

``database_url`` is a fresh database of each, with tables and nothing in them, ``sqlite_url`` and ``postgres_url`` one
of that kind alone. It is a copy of one that was migrated once: that takes a fifth of the time. Tests of migrations
begin with ``empty_database_url`` and ``empty_postgres_url``, which have no tables.

The server is a private one, started from the system's package on first use, reached by a unix socket only, gone at
the end of the session. Its databases sort text the way people do, so a test notices when the code relies on the order
of bytes.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests import postgres_server as servers
from tests.system_packages import lacks
from tidegate.store.database import open_database

SKIP = "TIDEGATE_TEST_POSTGRES=0: tests on PostgreSQL are skipped"
EMPTY = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
_NUMBERS = count(1)


KINDS = ["sqlite", "postgres"]


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database of each kind, with its tables."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of each kind, without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tidegate.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    """A fresh SQLite database with its tables."""
    copy = shutil.copy(migrated_file, tmp_path / "tidegate.db")
    return f"sqlite:///{copy}"


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("migrated") / "tidegate.db"
    open_database(f"sqlite:///{file}").shut()
    return file


@pytest.fixture
def empty_postgres_url(postgres_folder: Path) -> Iterator[str]:
    """A fresh PostgreSQL database without tables."""
    with _made(postgres_folder, EMPTY) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_folder: Path, migrated_database: str) -> Iterator[str]:
    """A fresh PostgreSQL database with its tables."""
    with _made(postgres_folder, migrated_database) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_database(postgres_folder: Path) -> Iterator[str]:
    """What databases with tables are copied from, as CREATE DATABASE says it."""
    with _made(postgres_folder, EMPTY) as url:
        open_database(url).shut()
        yield f"TEMPLATE {make_url(url).database} STRATEGY FILE_COPY"


@contextmanager
def _made(folder: Path, template: str) -> Iterator[str]:
    name = f"test_{next(_NUMBERS)}"
    servers.administer(folder, f"CREATE DATABASE {name} {template}")
    yield servers.database_url(folder, name)
    servers.administer(folder, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """The folder that holds the socket of a running server."""
    if os.environ.get("TIDEGATE_TEST_POSTGRES") == "0":
        pytest.skip(SKIP)
    if servers.find_programs() is None:
        pytest.skip(lacks("postgresql"))
    try:
        with servers.postgres_server(servers.FLEETING) as folder:
            yield folder
    except servers.NoServer as error:
        pytest.fail(f"{error} (or set TIDEGATE_TEST_POSTGRES=0 to skip its tests)")
