"""What every suite may use; each plugin module says what it offers."""

import pytest

pytest_plugins = ["tests.postgres", "tests.hypothesis_profiles", "tests.leftovers", "tests.file_order"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests that are coroutines run on asyncio alone, each on a loop of its own."""
    return "asyncio"
