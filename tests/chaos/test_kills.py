"""SIGKILL at random moments under load: no request is lost to a dead controller, every rollout ends as it should.

The short form of ``bench/kills.py``; TIDEGATE_CHAOS sets the number of kills (``make soak``: 50).
"""

import os
import random

import pytest

from bench import kills
from tidegate.host.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(1800)]
KILLS = int(os.environ.get("TIDEGATE_CHAOS", "3"))


def test_controller_killed_in_mid_rollout() -> None:
    with Platform() as platform:
        _, times, requests, failed, right = kills.controller(platform, KILLS, 100, random.Random(KILLS))
    assert (failed, right) == (0, f"{times}/{times}")
    assert int(str(requests)) > 100


def test_worker_killed_under_load() -> None:
    with Platform() as platform:
        _, times, requests, failed, replaced = kills.workers(platform, KILLS, 100, random.Random(KILLS))
    assert replaced == f"{times}/{times} replaced"
    # At most the requests in the hands of the killed process: one a connection of the load generator.
    assert int(str(failed)) <= 32 * KILLS
    assert int(str(requests)) > 100
