"""Asynchronous requests under SIGKILL of controller, dispatcher, instances and connections: none is lost, none has
two outputs, times to live and retries are kept.

The short form of ``bench/async_chaos.py``; TIDEGATE_CHAOS makes it longer.
"""

import os
import random

import pytest

from bench import async_chaos
from bench.async_chaos import Kind

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(1800)]
KILLS = int(os.environ.get("TIDEGATE_CHAOS", "4"))
DATABASES = ["sqlite", "postgres"] if "TIDEGATE_CHAOS" in os.environ else ["postgres"]
"""Its connections are cut, too; both are a matter of minutes, since the shortest time to live is one."""


@pytest.mark.parametrize("database", DATABASES)
def test_no_accepted_request_is_lost_or_answered_twice(database: str, request: pytest.FixtureRequest) -> None:
    url = "" if database == "sqlite" else request.getfixturevalue("postgres_url")
    found = async_chaos.run(200 * KILLS, KILLS, random.Random(KILLS), url)
    bad = (found.lost, found.doubled, found.wrong, found.early, found.untried)
    assert bad == (0, 0, 0, 0, 0), found
    assert sum(found.accepted.values()) == 200 * KILLS
    assert all(found.accepted[kind] for kind in Kind)
    assert sum(found.killed.values()) >= 1
