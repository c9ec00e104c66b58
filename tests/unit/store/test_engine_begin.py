"""How a transaction of SQLite begins while another process has one."""

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tidegate.store.engine import DatabaseLimits, make_engine, read_address


def test_a_transaction_waits_for_the_one_of_another_and_keeps_its_limit(tmp_path: Path) -> None:
    engine = make_engine(read_address(f"sqlite:///{tmp_path}/a.db"), DatabaseLimits(20.0), serial=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO t VALUES (1)")
    end = threading.Timer(0.05, other.execute, ["COMMIT"])
    end.start()
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT x FROM t").all() == [(1,)]
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 10_000
    end.join()
    other.close()
    engine.dispose()


def test_waiting_ends_at_the_limit_with_the_drivers_error(tmp_path: Path) -> None:
    engine = make_engine(read_address(f"sqlite:///{tmp_path}/a.db"), DatabaseLimits(0.1), serial=True)
    with engine.begin():
        pass
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="locked"), engine.begin():
        raise AssertionError("it began beside another")
    other.execute("ROLLBACK")
    other.close()
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 50
    engine.dispose()
