"""What every suite may use; each plugin module says what it offers."""

import sys

import pytest

from tests.system_packages import count_skipped

# pytest keeps the rewritten tests, which takes 9 of 18 seconds off the next collection of all, unless the environment
# says PYTHONDONTWRITEBYTECODE, as in many images. Processes that tests start still go by the environment.
sys.dont_write_bytecode = False

pytest_plugins = [
    "tests.fixtures",
    "tests.postgres",
    "tests.migrated_memory",
    "tests.hypothesis_profiles",
    "tests.leftovers",
    "tests.file_order",
]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last lines: what was skipped for want of which system package, and the command that installs them."""
    skipped = terminalreporter.stats.get("skipped", [])
    for line in count_skipped([one.longrepr[2] for one in skipped if isinstance(one.longrepr, tuple)]):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests that are coroutines run on asyncio alone, each on a loop of its own."""
    return "asyncio"
