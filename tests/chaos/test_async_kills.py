"""Asynchronous requests under SIGKILL of controller, dispatcher and instances: none is lost, none has two outputs.

The short form of ``bench/asynchronous.py``; TIDEGATE_CHAOS makes it longer.
"""

import os
import random

import pytest

from bench import asynchronous

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]
KILLS = int(os.environ.get("TIDEGATE_CHAOS", "3"))


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_no_accepted_request_is_lost_or_answered_twice(database: str, request: pytest.FixtureRequest) -> None:
    url = "" if database == "sqlite" else request.getfixturevalue("postgres_url")
    found = asynchronous.run(150 * KILLS, KILLS, random.Random(KILLS), url)
    assert (found["lost"], found["doubled"], found["different answers"]) == (0, 0, 1), found
    assert found["accepted"] == 150 * KILLS
    assert sum(found["killed"].values()) >= 1
