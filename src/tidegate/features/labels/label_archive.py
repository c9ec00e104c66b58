"""Labels as rows of a backup, and back. Names in a backup are checked: files are named after them."""

import math
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tidegate.domain.errors import Conflict, Invalid
from tidegate.features.labels.store import SUFFIX, TABLES, LabelStore, label_folder
from tidegate.ports.label_archive import LabelPart
from tidegate.spec.value_types import NAME

PART = 1_000
"""Rows of a part."""
RESTORED, FORMER = "labels.restored", "labels.former"
"""Beside the folder of labels: what is to take its place, and what was there."""


@dataclass(frozen=True)
class _LabelSnapshot:
    """Implements ``ports.label_archive.LabelSnapshot``: each file as it was when it was opened."""

    files: dict[str, sqlite3.Connection]

    def count(self) -> int:
        """Raises Conflict, as ``read`` does, for a file that is damaged."""
        total = 0
        for endpoint, connection in self.files.items():
            with _reading(f"{endpoint}{SUFFIX}"):
                for table in _tables(connection):
                    rows = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                    total += math.ceil(rows / PART)
        return total

    def read(self) -> Iterator[LabelPart]:
        for endpoint, connection in self.files.items():
            with _reading(f"{endpoint}{SUFFIX}"):
                for table in _tables(connection):
                    with closing(connection.execute(f"SELECT * FROM {table}")) as found:
                        columns = [column[0] for column in found.description]
                        while rows := found.fetchmany(PART):
                            yield LabelPart(endpoint, table, columns, [list(row) for row in rows])


@contextmanager
def _reading(file: str) -> Iterator[None]:
    """Raises Conflict."""
    try:
        yield
    except sqlite3.Error as error:
        raise Conflict(
            f"the labels in {file} cannot be read: {error}; --no-labels leaves all labels out"
        ) from None


class _LabelFiles:
    """Implements ``ports.label_archive.LabelArchive``."""

    @contextmanager
    def take_snapshot(self, state: Path) -> Iterator[_LabelSnapshot]:
        """Take a snapshot of the labels of all endpoints, while labels may still arrive. Raises Conflict for a file
        that cannot be read."""
        with ExitStack() as opened:
            files = {}
            for path in sorted(label_folder(state).glob(f"*{SUFFIX}")):
                with _reading(str(path)):
                    connection = opened.enter_context(closing(_open(path)))
                    connection.execute("BEGIN")
                    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the moment that is kept
                files[path.stem] = connection
            yield _LabelSnapshot(files)

    @contextmanager
    def prepare(self, state: Path, parts: Iterator[LabelPart]) -> Iterator[None]:
        """Write the parts beside the labels, for ``settle`` to put in place. Whatever it does not put in place is
        removed at the end, since nothing else would remove it."""
        try:
            _write(state / RESTORED, parts)
            yield
        finally:
            shutil.rmtree(state / RESTORED, ignore_errors=True)

    def settle(self, state: Path) -> None:
        restored, former, folder = state / RESTORED, state / FORMER, label_folder(state)
        if not restored.is_dir():
            return
        shutil.rmtree(former, ignore_errors=True)
        if folder.is_dir():
            folder.rename(former)
        restored.rename(folder)
        handle = os.open(state, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        shutil.rmtree(former, ignore_errors=True)


ARCHIVE = _LabelFiles()


def _write(folder: Path, parts: Iterator[LabelPart]) -> None:
    """Raises Invalid."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in parts:
        if not re.fullmatch(NAME, part.endpoint) or part.table not in TABLES:
            raise Invalid(f"the backup has labels of {part.endpoint!r} in {part.table!r}: nothing was restored")
        try:
            LabelStore(folder, part.endpoint).insert_rows(part.table, part.columns, part.rows)
        except (sqlite3.Error, OverflowError, IndexError) as error:
            raise Invalid(f"the labels of {part.endpoint} in the backup are damaged: {error}") from None


def _open(path: Path) -> sqlite3.Connection:
    """The thread that reads is another one: that of the database."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _tables(connection: sqlite3.Connection) -> list[str]:
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [table for table in TABLES if table in there]
