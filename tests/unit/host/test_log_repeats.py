"""What a log keeps while something is away for all loops of a server."""

import logging
from collections.abc import Iterator

import pytest

from tidegate.domain.errors import Conflict, Unavailable
from tidegate.host.log_repeats import RepeatFilter

AWAY = "The database cannot be used: connection refused"


class Log:
    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(logging.Formatter("%(message)s").format(record))  # type: ignore[method-assign]
        handler.addFilter(RepeatFilter(lambda: self.now))
        self.logger = logging.Logger("loops")
        self.logger.addHandler(handler)

    def fail(self, error: BaseException, what: str = "metrics could not be collected") -> None:
        try:
            raise error
        except BaseException:
            self.logger.exception(what)


@pytest.fixture
def log() -> Iterator[Log]:
    yield Log()


def test_many_loops_and_one_cause_are_one_line_a_minute(log: Log) -> None:
    for second in range(120):
        log.now = float(second)
        for what in ("alarms", "metrics", "scaling"):
            log.fail(Unavailable(AWAY), f"{what} failed")
            log.logger.error("%s", Unavailable(AWAY))
    assert log.lines == [
        f"alarms failed: {AWAY}",
        f"alarms failed: {AWAY} (359 more lines of this since)",
    ]


def test_each_cause_has_its_line(log: Log) -> None:
    log.fail(Unavailable(AWAY))
    log.fail(Unavailable("the disk is full"))
    assert len(log.lines) == 2


def test_several_failures_at_once_are_one_line(log: Log) -> None:
    log.fail(ExceptionGroup("tasks", [Unavailable(AWAY), ExceptionGroup("more", [Unavailable(AWAY)])]))
    assert log.lines == [f"metrics could not be collected: {AWAY}"]


def test_an_error_of_another_kind_is_one_line_each_time(log: Log) -> None:
    for _ in range(2):
        log.fail(Conflict("it changed"), "a look failed")
    assert log.lines == ["a look failed: it changed"] * 2


def test_a_defect_keeps_its_traceback_each_time_whatever_led_to_it(log: Log) -> None:
    def broken() -> None:
        try:
            raise Unavailable(AWAY)
        except Unavailable as error:
            raise KeyError("x") from error

    for _ in range(2):
        try:
            broken()
        except KeyError:
            log.logger.exception("a turn failed")
    log.fail(ExceptionGroup("tasks", [Unavailable(AWAY), ValueError("y")]))
    assert [line.count("Traceback") > 0 for line in log.lines] == [True] * 3


def test_plain_lines_pass_as_they_are(log: Log) -> None:
    for _ in range(2):
        log.logger.warning("endpoint %s: %d", "fraud", 3)
        log.logger.warning("by name: %(a)s", {"a": 1})
    assert log.lines == ["endpoint fraud: 3", "by name: 1"] * 2
