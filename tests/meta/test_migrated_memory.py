"""Databases in memory, whose tables tests make by a shorter way, are what a migration makes."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, create_engine

from tests import migrated_memory
from tidegate.store.schema import upgrade


def content(connection: Connection) -> list[str]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return sorted(driver.iterdump())


def made(url: str, make: Callable[[Connection], None]) -> list[str]:
    with create_engine(url).begin() as connection:
        make(connection)
        return content(connection)


def test_a_database_in_memory_is_what_a_migrated_file_is(tmp_path: Path) -> None:
    migrated = made(f"sqlite:///{tmp_path / 'tidegate.db'}", upgrade)
    assert sum("CREATE TABLE" in line for line in migrated) > 10
    assert made("sqlite://", upgrade) == migrated
    assert made("sqlite://", lambda connection: migrated_memory.MIGRATE(connection, "head")) == migrated


def test_only_an_empty_database_in_memory_takes_the_shorter_way(tmp_path: Path) -> None:
    with create_engine(f"sqlite:///{tmp_path / 'tidegate.db'}").begin() as in_file:
        assert not migrated_memory.is_empty_memory(in_file)
    with create_engine("sqlite://").begin() as in_memory:
        assert migrated_memory.is_empty_memory(in_memory)
        upgrade(in_memory)
        assert not migrated_memory.is_empty_memory(in_memory)
