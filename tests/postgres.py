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
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tidegate.store.database import open_database

INSTALL = (
    "PostgreSQL is not installed: apt-get install postgresql (or set TIDEGATE_TEST_POSTGRES=0 to skip its tests)"
)
SKIP = "TIDEGATE_TEST_POSTGRES=0: tests on PostgreSQL are skipped"
PATIENCE = 60
"""Seconds that the server may take to answer, or to stop."""
OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
}
MORTAL = ("setpriv", "--pdeathsig", "INT", "--")
"""The server ends with the test run, also with one that is killed."""
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
    _administer(folder, f"CREATE DATABASE {name} {template}")
    yield f"postgresql://postgres@/{name}?host={folder}"
    _administer(folder, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """The folder that holds the socket of a running server."""
    if os.environ.get("TIDEGATE_TEST_POSTGRES") == "0":
        pytest.skip(SKIP)
    programs = _programs()
    if programs is None:
        pytest.fail(INSTALL)
    folder = Path(tempfile.mkdtemp(prefix="tidegate-pg-"))  # short: a socket's path has 107 bytes at most
    user = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
    if user is not None:
        shutil.chown(folder, user, user)
    try:
        with _server(programs, folder, user):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """The newest version's folder; Debian keeps the server's programs off the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True)
    found = shutil.which("initdb")
    if found is not None:
        places.append(Path(found).resolve().parent)
    return next((p for p in places if (p / "initdb").exists() and (p / "postgres").exists()), None)


@contextmanager
def _server(programs: Path, folder: Path, user: str | None) -> Iterator[None]:
    data = folder / "data"
    flags = ("-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
    initdb = [str(programs / "initdb"), "-D", str(data), *flags]
    groups = None if user is None else ()
    made = subprocess.run(
        initdb, cwd=folder, user=user, group=user, extra_groups=groups, capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.fail(f"initdb failed: {made.stderr}")
    options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*MORTAL, str(programs / "postgres"), "-D", str(data), "-k", str(folder), *options],
            cwd=folder, user=user, group=user, extra_groups=groups, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _await_answer(process, folder)
            yield
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown: clients are cut off
            process.wait(PATIENCE)


def _await_answer(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return _administer(folder, "SELECT 1")
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start: {error}\n{(folder / 'log').read_text()}")
        time.sleep(0.05)


def _administer(folder: Path, statement: str) -> None:
    with psycopg.connect(host=str(folder), user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(statement.encode())
