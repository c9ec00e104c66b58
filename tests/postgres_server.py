"""A PostgreSQL for tests and benchmarks: from the system's package, on a unix socket only, gone at the end."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tidegate.host.platform import wait_until

PATIENCE = 60
"""Seconds that the server may take to answer, or to stop."""
MORTAL = ("setpriv", "--pdeathsig", "INT", "--")
"""The server ends with its parent, also with one that is killed."""
COMMON = {"listen_addresses": "", "max_connections": "60"}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "256MB"}
FLEETING = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "16MB"}


class NoServer(Exception):
    """PostgreSQL is not installed, or does not start."""


@contextmanager
def postgres_server(options: Mapping[str, str]) -> Iterator[Path]:
    """The folder that holds its socket. ``options``: settings of the server, such as DURABLE. Raises NoServer."""
    programs = find_programs()
    if programs is None:
        raise NoServer("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="tidegate-pg-"))  # short: a socket's path has 107 bytes at most
    user = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
    if user is not None:
        shutil.chown(folder, user, user)
    try:
        with _running(programs, folder, user, {**COMMON, **options}):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def database_url(folder: Path, name: str = "postgres") -> str:
    return f"postgresql://postgres@/{name}?host={folder}"


def administer(folder: Path, statement: str) -> None:
    with psycopg.connect(host=str(folder), user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(statement.encode())


def find_programs() -> Path | None:
    """The newest version's folder; Debian keeps the server's programs off the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True)
    found = shutil.which("initdb")
    if found is not None:
        places.append(Path(found).resolve().parent)
    return next((p for p in places if (p / "initdb").exists() and (p / "postgres").exists()), None)


@contextmanager
def _running(programs: Path, folder: Path, user: str | None, options: Mapping[str, str]) -> Iterator[None]:
    data = folder / "data"
    flags = ("-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
    initdb = [str(programs / "initdb"), "-D", str(data), *flags]
    groups = None if user is None else ()
    made = subprocess.run(
        initdb, cwd=folder, user=user, group=user, extra_groups=groups, capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise NoServer(f"initdb failed: {made.stderr}")
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*MORTAL, str(programs / "postgres"), "-D", str(data), "-k", str(folder), *settings],
            cwd=folder, user=user, group=user, extra_groups=groups, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _await_answer(process, folder)
            yield
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown: clients are cut off
            process.wait(PATIENCE)


def _await_answer(process: subprocess.Popen[bytes], folder: Path) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            raise NoServer(f"PostgreSQL did not start: {(folder / 'log').read_text()}")
        try:
            administer(folder, "SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_until(answers, "PostgreSQL answers", PATIENCE)
    except TimeoutError as error:
        raise NoServer(f"{error}: {(folder / 'log').read_text()}") from None
